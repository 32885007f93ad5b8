/* SPDX-License-Identifier: Apache-2.0 */
/* readback.c - see readback.h. */
#include "sandbox/readback.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include "base/err.h"

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif

enum { PATIENCE_MS = 2000 };

/* 1: it has; 0: it doesn't, for as long as we wait. One that is in the kernel and can't be interrupted, as with a file
 * whose server doesn't answer, stops when it is out of there. */
static int await_stop(pid_t tid, int *ret_status)
{
    static const struct timespec step = { .tv_nsec = 1000000 };

    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        pid_t r = waitpid(tid, ret_status, __WALL | WNOHANG);

        if (r > 0)
            return 1;
        if (r < 0 && errno != EINTR)
            return -errno;
        nanosleep(&step, NULL);
    }
    return 0;
}

static int stop(pid_t tid)
{
    int status = 0, r;

    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
        return err_origin(-errno, "attaching to thread %d", (int)tid);
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
        return err_origin(-errno, "stopping thread %d", (int)tid);
    r = await_stop(tid, &status);
    if (r <= 0)
        return err_origin(r < 0 ? r : -ETIMEDOUT, "stopping thread %d", (int)tid);
    if (!WIFSTOPPED(status))
        return err_origin(-ESRCH, "thread %d ended", (int)tid);
    return status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
}

static int copy_filter(pid_t tid, unsigned long index, struct readback *rb)
{
    struct readback_filter *f = &rb->filters[rb->n_filters];
    long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, NULL);

    if (n < 0)
        return -errno;
    if (rb->n_filters == READBACK_MAX_FILTERS)
        return -E2BIG;
    f->code = calloc((size_t)n, sizeof *f->code);
    if (!f->code)
        return -ENOMEM;
    if (ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, f->code) != n) {
        free(f->code);
        f->code = NULL;
        return -EIO;
    }
    f->n = (unsigned)n;
    rb->n_filters++;
    return 0;
}

/* The kernel says EINVAL for a thread without a filter and ENOENT behind the last one. */
static int copy_filters(pid_t tid, struct readback *rb)
{
    int r;

    for (unsigned long i = 0;; i++) {
        r = copy_filter(tid, i, rb);
        if (r == -ENOENT || (r == -EINVAL && i == 0))
            return 0;
        if (r < 0)
            return err_origin(r, "reading filter %lu of thread %d", i, (int)tid);
    }
}

int readback_thread(pid_t tid, struct readback *ret_readback)
{
    struct readback rb = { 0 };
    int sig = stop(tid);
    int r;

    if (sig < 0)
        return err_trace(sig);
    r = copy_filters(tid, &rb);
    /* A signal that arrived meanwhile is handed on. */
    ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)sig);
    if (r < 0) {
        readback_deinit(&rb);
        return err_trace(r);
    }
    *ret_readback = rb;
    return 0;
}

void readback_deinit(struct readback *readback)
{
    for (unsigned i = 0; i < readback->n_filters; i++)
        free(readback->filters[i].code);
    *readback = (struct readback){ 0 };
}

unsigned readback_calls(const struct readback *readback, int ret_calls[READBACK_MAX_CALL])
{
    unsigned n = 0;

    for (int nr = 0; nr < READBACK_MAX_CALL; nr++) {
        bool allowed = true;

        for (unsigned i = 0; i < readback->n_filters && allowed; i++)
            allowed = bpf_may_allow(readback->filters[i].code, readback->filters[i].n, nr);
        if (!allowed)
            continue;
        if (ret_calls)
            ret_calls[n] = nr;
        n++;
    }
    return n;
}
