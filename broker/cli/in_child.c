// SPDX-License-Identifier: Apache-2.0
// in_child.c - what would change this process is tried in a child.
#include "in_child.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"

int in_child_reap(pid_t pid, int timeout_ms)
{
    cleanup_(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    int status = 0;

    if (pidfd >= 0 && poll(&p, 1, timeout_ms) == 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int in_child(int (*fn)(void *arg), void *arg, int timeout_ms)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(fn(arg));
    return pid < 0 ? -1 : in_child_reap(pid, timeout_ms);
}
