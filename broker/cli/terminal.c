// SPDX-License-Identifier: Apache-2.0
// terminal.c - raw mode and the way back.
#include "terminal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* A terminal is one per process, and signal handlers have no argument: hence file scope. */
static struct termios saved;
static volatile sig_atomic_t raw_fd = -1;
static bool hooked;

void terminal_restore(void)
{
    int fd = raw_fd;
    int e = errno;

    if (fd >= 0) {
        raw_fd = -1;
        tcsetattr(fd, TCSANOW, &saved);
    }
    errno = e;
}

static void on_fatal(int sig)
{
    terminal_restore();
    raise(sig); /* SA_RESETHAND: the default action now */
}

static void hook_fatal_signals(void)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGSYS };
    struct sigaction act = { .sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND };

    for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
        sigaction(fatal[i], &act, NULL);
    signal(SIGTTOU, SIG_IGN); /* restoring from the background must not stop us */
    atexit(terminal_restore);
    hooked = true;
}

int terminal_raw(int fd)
{
    struct termios raw;

    if (!isatty(fd) || tcgetpgrp(fd) != getpgrp())
        return 0;
    if (raw_fd < 0 && tcgetattr(fd, &saved) < 0)
        return -errno;
    if (!hooked)
        hook_fatal_signals();
    raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR;
    raw_fd = fd;
    if (tcsetattr(fd, TCSANOW, &raw) < 0) {
        int r = -errno;

        raw_fd = -1;
        return r;
    }
    return 1;
}

int terminal_share(int fd, int flags)
{
    char path[64];
    int copy = -1;

    if (isatty(fd)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        copy = open(path, flags | O_NOCTTY | O_CLOEXEC);
    }
    if (copy < 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}
