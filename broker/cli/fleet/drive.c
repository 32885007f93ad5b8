// SPDX-License-Identifier: Apache-2.0
// drive.c - see drive.h. What is to be done is course.c's to say; here it is asked for, and waited for.
#include "fleet/drive.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "fleet/course.h"
#include "fleet/look.h"
#include "fleet/ready.h"
#include "fleet/tell.h"
#include "host_client.h"
#include "output.h"
#include "vouch.h"

enum { MAX_ASKED = 32, LOOK_MS = 1000 };

/* A request without an answer. op OP_NONE: of how a VM stands that is waited for. */
struct asked {
    uint32_t id;
    size_t vm;
    enum course_op op;
    int64_t end_ms;
    struct vouch vouch; /* OP_CREATE */
};

struct drive {
    struct fleet *fleet;
    const struct drive_wish *wish;
    struct course course;
    struct tell tell;
    struct look *looks;
    struct host host;
    struct voucher voucher;
    struct asked asked[MAX_ASKED];
    size_t n_asked;
    bool looking; /* one of them is of OP_NONE */
    struct ready **readies;
    int64_t *looked_ms; /* when it was asked last how that VM stands */
    int signals;
};

static int64_t up_ms(const struct drive *d, size_t vm)
{
    const struct look *look = &d->looks[vm];
    struct timespec now;

    if (look->started_ns == 0 || look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    return MAX(now.tv_sec * 1000 - (int64_t)(look->started_ns / 1000000), INT64_C(0));
}

static void end_op(struct drive *d, size_t vm, bool ok, const char *text)
{
    enum course_op op = d->course.vms[vm].busy;

    course_done(&d->course, vm, ok);
    tell_done(&d->tell, vm, op, ok, text);
}

/* ---- asking ---- */

static int ask(struct drive *d, size_t vm, enum course_op op)
{
    Bulkhead__HostEnvelope request = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm create = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__RemoveVm remove = BULKHEAD__REMOVE_VM__INIT;
    Bulkhead__InspectVm inspect = BULKHEAD__INSPECT_VM__INIT;
    Bulkhead__StartVm start = BULKHEAD__START_VM__INIT;
    Bulkhead__HaltVm halt = BULKHEAD__HALT_VM__INIT;
    Bulkhead__WaitVm wait = BULKHEAD__WAIT_VM__INIT;
    Bulkhead__VmSpec spec = look_spec(d->fleet->vms[vm]);
    Bulkhead__VmConfig config = *spec.config;
    int64_t patience_ms = HOST_PATIENCE_MS;
    struct vouch vouch = { 0 };
    char name[HOST_NAME_BYTES];
    int r = 0;

    snprintf(name, sizeof(name), "%s", d->fleet->vms[vm]->name);
    switch (op) {
    case OP_CREATE:
        config.name = name; /* with its tenant */
        spec.config = &config;
        create.spec = &spec;
        create.start = true;
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_CREATE_VM;
        request.create_vm = &create;
        r = vouch_for(&d->voucher, &config, &vouch);
        break;
    case OP_START:
        start.vm = name;
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_START_VM;
        request.start_vm = &start;
        break;
    case OP_HALT:
        halt.vm = name;
        halt.grace_ms = d->wish->grace_s * 1000;
        patience_ms += halt.grace_ms;
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_HALT_VM;
        request.halt_vm = &halt;
        break;
    case OP_REMOVE:
        remove.vm = name;
        remove.force = !d->wish->down;
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_REMOVE_VM;
        request.remove_vm = &remove;
        break;
    case OP_AWAIT_STOP:
        wait.vm = name;
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_WAIT_VM;
        request.wait_vm = &wait;
        break;
    case OP_NONE:
    case OP_READY:
    default:
        inspect.vm = name;
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_INSPECT_VM;
        request.inspect_vm = &inspect;
        break;
    }
    if (r == 0)
        r = host_send(&d->host, &request);
    if (r < 0)
        return r;
    d->asked[d->n_asked++] = (struct asked){ .id = request.id,
                                             .vm = vm,
                                             .op = op,
                                             .end_ms = clock_ms(CLOCK_MONOTONIC) + patience_ms,
                                             .vouch = vouch };
    return 0;
}

static void wait_for(struct drive *d, size_t vm)
{
    bool just_started = d->tell.vms[vm].was_started;

    d->looked_ms[vm] = clock_ms(CLOCK_MONOTONIC);
    d->readies[vm] =
        ready_new(d->fleet->vms[vm], clock_ms(CLOCK_MONOTONIC), just_started ? -1 : up_ms(d, vm));
    if (!d->readies[vm])
        end_op(d, vm, false, "no memory");
}

static int begin_what_may(struct drive *d)
{
    enum course_op op;
    size_t vm;
    int r = 0;

    while (r == 0 && course_next(&d->course, &vm, &op)) {
        tell_begun(&d->tell, vm, op);
        if (op == OP_READY)
            wait_for(d, vm);
        else
            r = ask(d, vm, op);
    }
    tell_progress(&d->tell);
    return r;
}

/* ---- answers ---- */

/* Of a VM that is waited for: it may have ended. */
static void on_look(struct drive *d, size_t vm, const Bulkhead__HostEnvelope *e)
{
    struct look look = { 0 };
    const char *text;

    if (!d->readies[vm])
        return;
    if (e->body_case == BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS)
        look = look_at_details(d->fleet, d->fleet->vms[vm], e->vm_details);
    else if (e->reply->error != ENOENT)
        return; /* it will be asked again */
    if (look.there && look.state != BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED)
        return;
    ready_free(d->readies[vm]);
    d->readies[vm] = NULL;
    d->course.vms[vm].runs = false;
    text = bag_printf(&d->fleet->bag, "it ended before it was ready%s%s", look.ended ? ": " : "",
                      look.ended ? look.ended : "");
    end_op(d, vm, false, text);
}

static void on_reply(struct drive *d, const struct asked *asked, const Bulkhead__HostReply *reply)
{
    /* Somebody else was faster. */
    bool runs = asked->op == OP_START && reply->error == EALREADY;

    if (asked->op == OP_CREATE)
        vouch_settle(&asked->vouch, reply->error != 0);
    if (reply->error == 0 && asked->op == OP_REMOVE)
        vouch_end(&d->voucher, d->fleet->vms[asked->vm]->name);
    if (reply->error == 0 || runs)
        end_op(d, asked->vm, true, "");
    else
        end_op(d, asked->vm, false,
               bag_printf(&d->fleet->bag, "%s",
                          reply->text[0] ? reply->text : strerror(reply->error)));
}

static void on_answer(struct drive *d, const Bulkhead__HostEnvelope *e)
{
    struct asked asked;
    size_t i = 0;

    while (i < d->n_asked && d->asked[i].id != e->id)
        i++;
    if (i == d->n_asked)
        return;
    asked = d->asked[i];
    d->asked[i] = d->asked[--d->n_asked];
    if (e->body_case != BULKHEAD__HOST_ENVELOPE__BODY_REPLY &&
        e->body_case != BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS) {
        end_op(d, asked.vm, false, "the service's answer doesn't fit the question");
        return;
    }
    if (asked.op == OP_NONE) {
        d->looking = false;
        on_look(d, asked.vm, e);
    } else if (e->body_case == BULKHEAD__HOST_ENVELOPE__BODY_REPLY) {
        on_reply(d, &asked, e->reply);
    } else {
        end_op(d, asked.vm, true, ""); /* of a VM that was waited for */
    }
}

/* ---- waiting ---- */

static void look_at_readies(struct drive *d)
{
    struct option_error why;

    for (size_t i = 0; i < d->fleet->n; i++) {
        enum ready_answer answer;

        if (!d->readies[i])
            continue;
        answer = ready_look(d->readies[i], clock_ms(CLOCK_MONOTONIC), &why);
        if (answer == READY_WAIT)
            continue;
        ready_free(d->readies[i]);
        d->readies[i] = NULL;
        end_op(d, i, answer == READY_YES, bag_strndup(&d->fleet->bag, why.text, strlen(why.text)));
    }
}

/* One at a time: the service has other things to do. */
static int ask_how_they_stand(struct drive *d)
{
    for (size_t i = 0; i < d->fleet->n && !d->looking && d->n_asked < MAX_ASKED; i++) {
        if (!d->readies[i] || d->looked_ms[i] + LOOK_MS > clock_ms(CLOCK_MONOTONIC))
            continue;
        d->looked_ms[i] = clock_ms(CLOCK_MONOTONIC);
        d->looking = true;
        return ask(d, i, OP_NONE);
    }
    return 0;
}

static int patience(const struct drive *d)
{
    int64_t next = clock_ms(CLOCK_MONOTONIC) + LOOK_MS, left;

    for (size_t i = 0; i < d->fleet->n; i++)
        if (d->readies[i])
            next = MIN(next, ready_next_ms(d->readies[i]));
    left = next - clock_ms(CLOCK_MONOTONIC);
    return (int)MAX(left, INT64_C(0));
}

/* 0, 1: a signal came, or a negative errno. */
static int wait_a_while(struct drive *d, struct pollfd *polled)
{
    struct host_answer answer;
    nfds_t n = 2;
    int r;

    polled[0] = (struct pollfd){ .fd = channel_fd(d->host.channel), .events = POLLIN };
    polled[1] = (struct pollfd){ .fd = d->signals, .events = POLLIN };
    for (size_t i = 0; i < d->fleet->n; i++)
        if (d->readies[i])
            polled[n++] = (struct pollfd){ .fd = ready_fd(d->readies[i]), .events = POLLIN };
    r = poll(polled, n, patience(d));
    if (r < 0 && errno != EINTR)
        return err_origin(-errno, "waiting for the host's service");
    if (r > 0 && polled[1].revents)
        return 1;
    if (r > 0 && polled[0].revents) {
        r = host_receive(&d->host, 0, &answer);
        if (r < 0)
            return r;
        on_answer(d, answer.envelope);
    }
    for (size_t i = 0; i < d->n_asked; i++)
        if (d->asked[i].end_ms <= clock_ms(CLOCK_MONOTONIC))
            return err_origin(-ETIMEDOUT, "the host's service doesn't answer");
    return 0;
}

static int go(struct drive *d)
{
    struct pollfd *polled = bag_alloc(&d->fleet->bag, (d->fleet->n + 2) * sizeof(*polled));
    int r = begin_what_may(d);

    while (r == 0 && !course_is_over(&d->course)) {
        r = wait_a_while(d, polled);
        if (r == 0) {
            look_at_readies(d);
            r = ask_how_they_stand(d);
        }
        if (r == 0)
            r = begin_what_may(d);
    }
    return r;
}

/* ---- both ends ---- */

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void take_facts(struct drive *d)
{
    const size_t n = d->fleet->n + 1;

    d->course = (struct course){ .fleet = d->fleet,
                                 .down = d->wish->down,
                                 .recreate = d->wish->recreate,
                                 .remove = d->wish->remove,
                                 .at_once = d->wish->at_once };
    d->course.vms = bag_alloc(&d->fleet->bag, n * sizeof(*d->course.vms));
    d->readies = bag_alloc(&d->fleet->bag, n * sizeof(*d->readies));
    d->looked_ms = bag_alloc(&d->fleet->bag, n * sizeof(*d->looked_ms));
    for (size_t i = 0; i < d->fleet->n; i++) {
        const struct look *look = &d->looks[i];
        struct course_vm *vm = &d->course.vms[i];

        vm->there = look->there;
        vm->differs = look->differs != NULL;
        vm->leaves = look->there && look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPING;
        vm->runs = look->there && (look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING ||
                                   look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_PAUSED);
        /* Halted before it runs, it never does. */
        if (d->wish->down && look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING)
            vm->runs = look->there;
    }
}

int drive(struct fleet *fleet, const struct drive_wish *wish)
{
    struct drive d = { .fleet = fleet, .wish = wish, .signals = -1 };
    int r = host_connect(&d.host), status;

    if (r == 0)
        r = vouch_begin(&d.host, !wish->down, &d.voucher);
    if (r < 0) {
        host_close(&d.host);
        return host_failed(r);
    }
    status = look_at_all(fleet, &d.host, &d.looks);
    if (status == EXIT_OK) {
        take_facts(&d);
        d.signals = open_signals();
        tell_begin(&d.tell, fleet, &d.course, d.looks, wish->json);
        r = go(&d);
        status = tell_end(&d.tell, r == 1, r < 0);
        if (r < 0)
            status = host_failed(r);
        for (size_t i = 0; i < fleet->n; i++)
            ready_free(d.readies[i]);
    }
    fd_closep(&d.signals);
    host_close(&d.host);
    return status;
}
