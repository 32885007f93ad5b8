/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - see lines.h. A worker that was taken over may put descriptors into its end: what is closed here the closer closes. */
#include "hostd/run/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/rules/rights.h"
#include "hostd/run/closer.h"
#include "hostd/run/links.h"
#include "hostd/run/sessions.h"

/* One that ends is followed by another after that long; by then twice that, and so on, where none is used. */
enum { AGAIN_MS = 100, MAX_DOUBLED = 6 };

struct line {
    struct of_vm *of;
    struct loop_event *event; /* NULL: the place is free */
    int fd;
};

struct of_vm {
    struct service *s;
    uint64_t vm; /* 0: free */
    struct line spare[RIGHTS_CONNECTIONS];
    unsigned n;      /* with those that are sessions */
    unsigned unused; /* that ended one after the other, without a word */
    uint64_t again_ns;
};

struct lines {
    struct of_vm *of[HOST_MAX_VMS]; /* by serial; NULL: it never had one */
    struct loop_event *again;
};

/* NULL: that VM has none. */
static struct of_vm *find(struct service *s, uint64_t vm)
{
    struct of_vm *of = s->lines->of[vm % HOST_MAX_VMS];

    return of && of->vm == vm ? of : NULL;
}

static void arm(struct service *s)
{
    (void)loop_timer_arm(s->lines->again, AGAIN_MS, false);
}

static uint64_t whose(const struct of_vm *of)
{
    const struct host_vm *vm = host_vm(&of->s->host, of->vm);

    return closer_of_tenant(vm ? vm->tenant : "");
}

/* Its descriptor is the caller's then. */
static int take_out(struct line *line)
{
    loop_event_free(line->event);
    line->event = NULL;
    return fd_take(&line->fd);
}

static void ended(struct of_vm *of, bool was_used)
{
    of->unused = was_used ? 0 : MIN(of->unused + 1, (unsigned)MAX_DOUBLED);
    of->again_ns = now_ns() + (UINT64_C(1000000) * AGAIN_MS << of->unused);
    of->n -= of->n > 0;
    arm(of->s);
}

/* One that was a session is no more. */
static void on_ended(struct service *s, uint64_t vm)
{
    struct of_vm *of = find(s, vm);

    if (of)
        ended(of, true);
}

/* A guest says something, or nobody will any more. */
static void on_readable(int fd, unsigned what, void *arg)
{
    struct line *line = arg;
    struct of_vm *of = line->of;
    struct pollfd p = { .fd = fd };
    bool is_over = poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));

    (void)what;
    fd = take_out(line);
    if (is_over)
        closer_drop(of->s->closer, whose(of), fd);
    if (is_over || !sessions_take_guest(of->s, of->vm, fd))
        ended(of, false);
}

static int make_one(struct of_vm *of, struct line *line)
{
    cleanup_(fd_closep) int theirs = -1;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return err_origin(-errno, "a guest's line");
    theirs = pair[1];
    r = links_give_line(of->s, of->vm, theirs);
    if (r == 0)
        r = loop_add_fd(of->s->loop, pair[0], LOOP_READ, on_readable, line, &line->event);
    if (r < 0) {
        line->event = NULL;
        close(pair[0]);
        return err_trace(r);
    }
    line->fd = pair[0];
    of->n++;
    return 0;
}

/* Up to so many. False: it has to be tried again. */
static bool supply(struct of_vm *of, unsigned max)
{
    const struct host_vm *vm = host_vm(&of->s->host, of->vm);

    if (!vm || !vm->linked || closer_has_many(of->s->closer, whose(of)))
        return !vm || !vm->linked; /* which is heard of */
    for (unsigned i = 0; i < RIGHTS_CONNECTIONS && max > 0 && of->n < RIGHTS_CONNECTIONS; i++) {
        if (of->spare[i].event)
            continue;
        max--;
        if (make_one(of, &of->spare[i]) < 0) {
            log_debug("%s", err_text());
            return false;
        }
    }
    return of->n == RIGHTS_CONNECTIONS;
}

static void on_again(int fd, unsigned what, void *arg)
{
    struct service *s = arg;
    uint64_t now = now_ns();
    bool more = false;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < HOST_MAX_VMS; i++) {
        struct of_vm *of = s->lines->of[i];

        if (!of || of->vm == 0 || of->n == RIGHTS_CONNECTIONS)
            continue;
        more = (of->again_ns > now || !supply(of, 1)) || more;
    }
    if (more)
        arm(s);
}

void lines_supply(struct service *s, uint64_t vm)
{
    const struct host_vm *v = host_vm(&s->host, vm);
    struct of_vm **of = &s->lines->of[vm % HOST_MAX_VMS];

    if (!v || !v->spec || !rights_has_any(v->spec))
        return;
    if (!*of)
        *of = calloc(1, sizeof **of);
    if (!*of) {
        log_error("no memory for the lines of %s/%s", v->tenant, v->name);
        return;
    }
    if ((*of)->vm != vm) {
        **of = (struct of_vm){ .s = s, .vm = vm };
        for (unsigned i = 0; i < RIGHTS_CONNECTIONS; i++)
            (*of)->spare[i] = (struct line){ .of = *of, .fd = -1 };
    }
    if (!supply(*of, RIGHTS_CONNECTIONS))
        arm(s);
}

void lines_drop(struct service *s, uint64_t vm)
{
    struct of_vm *of = find(s, vm);

    for (unsigned i = 0; of && i < RIGHTS_CONNECTIONS; i++)
        if (of->spare[i].event)
            closer_drop(s->closer, whose(of), take_out(&of->spare[i]));
    if (of) /* those in use are another run's when the next comes */
        of->vm = 0;
}

int lines_new(struct service *s)
{
    s->lines = calloc(1, sizeof *s->lines);
    if (!s->lines)
        return err_origin(-ENOMEM, "guests' lines");
    s->line_ended = on_ended;
    return loop_add_timer(s->loop, on_again, s, &s->lines->again);
}

void lines_free(struct service *s)
{
    struct lines *lines = s->lines;

    for (unsigned i = 0; lines && i < HOST_MAX_VMS; i++) {
        if (lines->of[i])
            lines_drop(s, lines->of[i]->vm);
        free(lines->of[i]);
    }
    if (lines && lines->again)
        loop_event_free(lines->again);
    free(lines);
    s->lines = NULL;
}
