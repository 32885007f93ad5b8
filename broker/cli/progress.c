// SPDX-License-Identifier: Apache-2.0
// progress.c - see progress.h.
#include "progress.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "output.h"

enum { FIRST_MS = 1000, PERIOD_MS = 1000 };

void progress_begin(struct progress *ret_progress, int patience_ms)
{
    int64_t now = clock_ms(CLOCK_MONOTONIC);

    *ret_progress = (struct progress){ .start_ms = now, .end_ms = now + patience_ms };
}

static void show(struct progress *p, const char *vm, const char *what, int64_t now)
{
    if (!isatty(STDERR_FILENO))
        return;
    fflush(stdout);
    fprintf(stderr, "\r%s: %s, %lld s\033[K", vm, what, (long long)(now - p->start_ms) / 1000);
    p->shown = true;
}

static void clear(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

int progress_receive(struct progress *p, struct host *host, const char *vm, const char *what,
                     struct host_answer *ret_answer)
{
    int r = -ETIMEDOUT;

    for (;;) {
        int64_t now = clock_ms(CLOCK_MONOTONIC), left = MAX(p->end_ms - now, 0);

        if (now - p->start_ms >= FIRST_MS)
            show(p, vm, what, now);
        r = host_receive(host, (int)MIN(left, (int64_t)PERIOD_MS), ret_answer);
        if (r != -ETIMEDOUT || left <= PERIOD_MS)
            break;
    }
    clear(p);
    return r;
}
