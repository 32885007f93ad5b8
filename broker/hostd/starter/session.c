/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - see session.h. */
#include "hostd/starter/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

#define SESSION "session" /* beside the console's sockets */

int session_stat(int proc_fd, pid_t pid, pid_t *ret_parent, unsigned long long *ret_start)
{
    cleanup_(fd_closep) int fd = -1;
    char path[32], text[512];
    const char *end;
    ssize_t n;

    snprintf(path, sizeof path, "%s%d/stat", proc_fd < 0 ? "/proc/" : "", (int)pid);
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    end = strrchr(text, ')'); /* of a name that may have any letters */
    return end && sscanf(end + 1,
                         " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                         "%*d %*d %llu",
                         ret_parent, ret_start) == 2
               ? 0
               : -1;
}

int session_write(const struct folders *folders, const char *tenant, const char *vm, pid_t broker)
{
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_IO, tenant, vm, true);
    cleanup_(fd_closep) int fd = -1;
    unsigned long long start = 0;
    char text[64];
    pid_t parent;
    int len;

    if (dir_fd < 0)
        return err_trace(dir_fd);
    (void)session_stat(-1, broker, &parent, &start);
    len = snprintf(text, sizeof text, "%d %llu\n", (int)broker, start);
    fd = openat(dir_fd, SESSION, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len)
        return err_origin(fd < 0 ? -errno : -ENOSPC, "the file " SESSION " of %s", vm);
    return 0;
}

pid_t session_read(const struct folders *folders, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_IO, tenant, vm, false);
    cleanup_(fd_closep) int fd =
        dir_fd < 0 ? -1 : openat(dir_fd, SESSION, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    unsigned long long start = 0, now = 0;
    char text[64];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    pid_t pid = 0, parent;

    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%d %llu", &pid, &start) != 2 || pid <= 1)
        return 0;
    return start != 0 && session_stat(-1, pid, &parent, &now) == 0 && now != start ? 0 : pid;
}
