/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.c - see rundir.h. */
#include "rundir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources.h"

void rundir_init(struct rundir *rundir)
{
    *rundir = (struct rundir){ .lock_fd = -1, .listen_fd = -1 };
}

static int base_path(char *ret_base, size_t size, struct fault *f)
{
    const char *own = getenv("BULKHEAD_RUNDIR"), *xdg = getenv("XDG_RUNTIME_DIR");
    int n;

    if (own && own[0] != '\0')
        n = snprintf(ret_base, size, "%s", own);
    else if (geteuid() == 0)
        n = snprintf(ret_base, size, "/run/bulkhead");
    else if (xdg && xdg[0] == '/')
        n = snprintf(ret_base, size, "%s/bulkhead", xdg);
    else
        n = snprintf(ret_base, size, "/run/user/%u/bulkhead", (unsigned)geteuid());
    if (n < 0 || (size_t)n >= size)
        return fault_input(f, "the run directory's path is too long: set BULKHEAD_RUNDIR to a "
                              "shorter one");
    return 0;
}

/* Ours alone: somebody else's directory of that name could lead the socket anywhere. */
static int make_private(const char *path, struct fault *f)
{
    struct stat st;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fault_input(f, "can't make the run directory %s: %s: set BULKHEAD_RUNDIR", path,
                           strerror(errno));
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 0022) != 0)
        return fault_input(f,
                           "the run directory %s is not this user's own: remove it or set "
                           "BULKHEAD_RUNDIR",
                           path);
    return 0;
}

static int take_lock(struct rundir *rundir, const char *vm_name, struct fault *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char path[RUNDIR_PATH_MAX + 8];

    snprintf(path, sizeof path, "%s/lock", rundir->path);
    rundir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (rundir->lock_fd < 0)
        return fault_host(f, errno, "%s: %s", path, strerror(errno));
    if (fcntl(rundir->lock_fd, F_OFD_SETLK, &lock) < 0) {
        fd_closep(&rundir->lock_fd);
        rundir->path[0] = '\0'; /* not ours to remove */
        return fault_input(f, "a VM named %s is running: give --name another value, or stop it",
                           vm_name);
    }
    return 0;
}

int rundir_open(struct rundir *rundir, const char *vm_name, struct fault *f)
{
    char base[RUNDIR_PATH_MAX], socket_path[RUNDIR_PATH_MAX + 16];
    int n, r;

    r = base_path(base, sizeof base, f);
    if (r == 0)
        r = make_private(base, f);
    if (r < 0)
        return r;
    n = snprintf(rundir->path, sizeof rundir->path, "%s/%s", base, vm_name);
    if (n < 0 || (size_t)n >= sizeof rundir->path) {
        rundir->path[0] = '\0';
        return fault_input(f,
                           "the run directory's path is too long for VM %s: use a shorter name "
                           "or set BULKHEAD_RUNDIR",
                           vm_name);
    }
    r = make_private(rundir->path, f);
    if (r < 0) {
        rundir->path[0] = '\0';
        return r;
    }
    r = take_lock(rundir, vm_name, f);
    if (r < 0)
        return r;
    snprintf(socket_path, sizeof socket_path, "%s/control.sock", rundir->path);
    unlink(socket_path); /* we hold the lock: whoever made it is gone */
    return resources_listen("the command socket", socket_path, SOCK_SEQPACKET, &rundir->listen_fd,
                            f);
}

void rundir_close(struct rundir *rundir)
{
    static const char *const names[] = { "control.sock", "lock" };
    char path[RUNDIR_PATH_MAX + 16];

    fd_closep(&rundir->listen_fd);
    if (rundir->path[0] != '\0') {
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
            snprintf(path, sizeof path, "%s/%s", rundir->path, names[i]);
            unlink(path);
        }
        rmdir(rundir->path);
    }
    fd_closep(&rundir->lock_fd);
    rundir->path[0] = '\0';
}
