/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.c - see rundir.h. */
#include "rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"

int rundir_base(char *dst, size_t size)
{
    const char *given = getenv("BULKHEAD_RUNDIR");
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    int n;

    if (given && given[0] != '\0')
        n = snprintf(dst, size, "%s", given);
    else if (geteuid() == 0)
        n = snprintf(dst, size, "/run/bulkhead");
    else if (xdg && xdg[0] == '/') /* the standard says: else it is to be ignored */
        n = snprintf(dst, size, "%s/bulkhead", xdg);
    else
        n = snprintf(dst, size, "/run/user/%u/bulkhead", (unsigned)geteuid());
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int rundir_path(char *dst, size_t size, const char *vm_name)
{
    size_t len;
    int n, r = rundir_base(dst, size);

    if (r < 0)
        return r;
    len = strlen(dst);
    n = snprintf(dst + len, size - len, "/%s", vm_name);
    return n < 0 || (size_t)n >= size - len ? -ENAMETOOLONG : 0;
}

/* By a descriptor of the folder, whose name an address has room for. */
int rundir_connect(const char *vm_name, int fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    cleanup_(fd_closep) int dir_fd = -1;
    char path[RUNDIR_PATH_BYTES];
    int r = rundir_path(path, sizeof path, vm_name);

    if (r < 0)
        return r;
    dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" RUNDIR_SOCKET, dir_fd);
    return connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t rundir_list(char (*names)[RUNDIR_NAME_BYTES], size_t max)
{
    char path[RUNDIR_PATH_BYTES];
    struct dirent *entry;
    size_t n = 0;
    DIR *dir;

    if (rundir_base(path, sizeof(path)) < 0)
        return 0;
    dir = opendir(path);
    if (!dir)
        return 0;
    while (n < max && (entry = readdir(dir)) != NULL) {
        char sock[RUNDIR_PATH_BYTES + RUNDIR_NAME_BYTES + sizeof RUNDIR_SOCKET + 2];
        size_t len = strlen(entry->d_name);

        if (entry->d_name[0] == '.' || len >= RUNDIR_NAME_BYTES)
            continue;
        snprintf(sock, sizeof(sock), "%s/%s/" RUNDIR_SOCKET, path, entry->d_name);
        if (access(sock, F_OK) == 0)
            memcpy(names[n++], entry->d_name, len + 1);
    }
    closedir(dir);
    qsort(names, n, sizeof(*names), compare);
    return n;
}

int rundir_open_lock(const char *vm_name)
{
    char path[RUNDIR_PATH_BYTES], file[RUNDIR_PATH_BYTES + sizeof RUNDIR_LOCK + 1];
    int fd, r = rundir_path(path, sizeof path, vm_name);

    if (r < 0)
        return r;
    snprintf(file, sizeof file, "%s/" RUNDIR_LOCK, path);
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

bool rundir_is_held(const char *vm_name)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    cleanup_(fd_closep) int fd = rundir_open_lock(vm_name);

    if (fd < 0)
        return fd != -ENOENT;
    return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}
