// SPDX-License-Identifier: Apache-2.0
// ids.c - see ids.h. A static program has none of the host's name services in it, and loading them would tie it to one C
// library: getent has them all.
#include "tenants/ids.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "options/keyvalue.h"

enum { LINE_BYTES = 65536, FIELDS = 4 }; /* a group's line has its members */

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > IDS_MAX_NAME || name[0] == '-')
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-$@+\\", *p))
            return false;
    return true;
}

static _Noreturn void exec_getent(const char *database, const char *name, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(null, 2) == 2)
        execlp("getent", "getent", database, name, (char *)NULL);
    _exit(127);
}

/* Its line, with a terminator. */
static int ask(const char *database, const char *name, char *line)
{
    cleanup_(fd_closep) int in = -1;
    int ends[2], status;
    size_t n = 0;
    ssize_t got;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    in = ends[0];
    pid = fork();
    if (pid == 0)
        exec_getent(database, name, ends[1]);
    close(ends[1]);
    if (pid < 0)
        return -errno;
    while (n < LINE_BYTES - 1 && (got = read(in, line + n, LINE_BYTES - 1 - n)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    line[n] = '\0';
    fd_closep(&in);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return -ENOSYS;
    return WEXITSTATUS(status) == 0 && n > 0 ? 0 : -ENOENT;
}

static bool is_number(const char *text, uint32_t *ret_number)
{
    uint64_t v;

    if (!isdigit((unsigned char)text[0]) || option_u64(text, &v) < 0 || v >= UINT32_MAX)
        return false;
    *ret_number = (uint32_t)v;
    return true;
}

/* The numbers of "alice:x:1000:1000:..." that stand third and fourth. */
static int look_up(const char *database, const char *name, uint32_t *ret_third,
                   uint32_t *ret_fourth)
{
    static char line[LINE_BYTES];
    char *field, *rest = line;
    int r;

    if (!is_name(name))
        return -EINVAL;
    r = ask(database, name, line);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < FIELDS && (field = strsep(&rest, ":\n")); i++) {
        if (i == 2 && !is_number(field, ret_third))
            return -EBADMSG;
        if (i == 3 && ret_fourth && !is_number(field, ret_fourth))
            return -EBADMSG;
    }
    return 0;
}

int ids_user(const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
    if (!ret_gid && is_number(name, ret_uid))
        return 0;
    return look_up("passwd", name, ret_uid, ret_gid);
}

int ids_group(const char *name, uint32_t *ret_gid)
{
    return is_number(name, ret_gid) ? 0 : look_up("group", name, ret_gid, NULL);
}
