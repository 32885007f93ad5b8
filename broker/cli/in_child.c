// SPDX-License-Identifier: Apache-2.0
// in_child.c - what would change this process, or might never come back, is tried in a child.
#include "in_child.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fd.h"

enum {
    KILLED_MS = 1000, /* from SIGKILL on: who waits for a file system's server doesn't die of it */
    LOOK_MS = 10,     /* where there is no pidfd */
};

/* Whether it ends in that time, and nobody wants us to stop waiting. */
static bool ends(pid_t pid, int pidfd, int timeout_ms, int stop_fd, int *ret_status)
{
    const int64_t until = clock_ms(CLOCK_MONOTONIC) + timeout_ms;

    for (;;) {
        struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
                              { .fd = stop_fd, .events = POLLIN } };
        int64_t left = until - clock_ms(CLOCK_MONOTONIC);
        pid_t r = waitpid(pid, ret_status, WNOHANG);

        if (r == pid)
            return true;
        if ((r < 0 && errno != EINTR) || left <= 0)
            return false;
        if (poll(p, 2, (int)(pidfd < 0 ? MIN(left, (int64_t)LOOK_MS) : left)) > 0 && p[1].revents)
            return waitpid(pid, ret_status, WNOHANG) == pid;
    }
}

int in_child_reap(pid_t pid, int timeout_ms, int stop_fd)
{
    cleanup_(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int status = 0;

    if (!ends(pid, pidfd, timeout_ms, stop_fd, &status)) {
        kill(pid, SIGKILL);
        if (!ends(pid, pidfd, KILLED_MS, -1, &status))
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One that is left behind keeps nothing of ours: whoever waits for the end of our output waits for it too. */
static void keep_nothing(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd <= 2; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    syscall(SYS_close_range, 3u, ~0u, 0u);
}

static int start(int (*fn)(void *arg), void *arg, int timeout_ms, bool alone)
{
    const pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        if (alone)
            keep_nothing();
        _exit(fn(arg));
    }
    return pid < 0 ? -1 : in_child_reap(pid, timeout_ms, -1);
}

int in_child(int (*fn)(void *arg), void *arg, int timeout_ms)
{
    return start(fn, arg, timeout_ms, false);
}

int in_child_alone(int (*fn)(void *arg), void *arg, int timeout_ms)
{
    return start(fn, arg, timeout_ms, true);
}
