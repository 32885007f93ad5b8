/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - see signals.h. */
#include "resources/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"

static const struct {
    int number;
    const char *name;
} watched[] = { { SIGTERM, "SIGTERM" }, { SIGINT, "SIGINT" }, { SIGHUP, "SIGHUP" } };

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++)
        sigaddset(set, watched[i].number);
}

void signals_init(void)
{
    struct sigaction now;
    sigset_t set;

    /* Above all SIGCHLD: where it is ignored, nobody hears how a child has ended. */
    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    fill(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

int signals_open(int *ret_fd)
{
    sigset_t set;

    fill(&set);
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret_fd < 0 ? err_origin(-errno, "signals") : 0;
}

const char *signals_take(int fd)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++)
        if ((int)info.ssi_signo == watched[i].number)
            return watched[i].name;
    return NULL;
}
