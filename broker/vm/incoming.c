/* SPDX-License-Identifier: Apache-2.0 */
/* incoming.c - see incoming.h. */
#include "vm/incoming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "base/err.h"
#include "sandbox/layers.h"
#include "vm/adopt.h"
#include "vm/boot.h"
#include "vm/driver.h"
#include "vm/end.h"
#include "vm/link.h"
#include "vm/pause.h"
#include "vm/replace.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

static struct device *device_of(struct vm *vm, const struct child *c)
{
    return c->device == CHILD_NO_DEVICE ? NULL : &vm->devices[c->device];
}

static void liar(struct vm *vm, struct child *c, const char *what)
{
    child_kill(c, &vm->actions, vm->now, "broke the protocol: %s", what);
}

static void leaves_soon(struct vm *vm, struct child *c)
{
    c->leave_by_ns = vm->now + CHILD_LEAVE_MS * UINT64_C(1000000);
}

/* ---- from its start to Ready ---- */

static void on_hello(struct vm *vm, struct child *c, const Bulkhead__Hello *hello)
{
    child_copy_clean(c->build_id, sizeof c->build_id, hello->build_id);
    if (hello->protocol_min > PROTOCOL_MAX || hello->protocol_max < PROTOCOL_MIN)
        child_kill(c, &vm->actions, vm->now,
                   "speaks protocol %u to %u, this broker %d to %d: install one release",
                   hello->protocol_min, hello->protocol_max, PROTOCOL_MIN, PROTOCOL_MAX);
}

static const char another[] = "announced another device than the one it is to be";

/* A replacement must be what the guest already knows, and all that it was offered: the core goes on offering that to
 * the drivers that come. NULL, or what is wrong. */
static const char *differs(const struct device *d, const Bulkhead__Announce *a)
{
    if (a->virtio_id != d->virtio_id || a->num_queues != d->num_queues ||
        a->queue_size < d->queue_size || a->config.len != d->config_len)
        return another;
    return (d->features & ~a->features) == 0
               ? NULL
               : "it offers less than the guest was told: start the VM anew with this release";
}

static const char *take_announce(struct device *d, const Bulkhead__Announce *a)
{
    if (!device_is_pci(d))
        return a ? another : NULL;
    if (!a || a->num_queues > d->plan->num_queues)
        return another;
    if (d->announced)
        return differs(d, a);
    d->virtio_id = a->virtio_id;
    d->features = a->features;
    d->num_queues = a->num_queues;
    d->queue_size = a->queue_size;
    d->config_len = a->config.len;
    if (a->config.len > 0) /* an empty field has no address */
        memcpy(d->config, a->config.data, a->config.len);
    return NULL;
}

/* Only names that we know ourselves are taken from it. */
static void note_missing(struct child *c, const Bulkhead__Ready *ready)
{
    for (size_t i = 0; i < ready->n_missing_layers; i++)
        for (unsigned bit = 1; bit != 0; bit <<= 1) {
            const char *name = sandbox_layer_name(bit);

            if (name && strcmp(name, ready->missing_layers[i]) == 0)
                c->missing_layers |= bit;
        }
}

/* Its predecessor's io_uring is still: the duplicate is not needed any more. */
static void on_ring_drained(struct vm *vm, struct child *c, struct device *d)
{
    if (c->old_ring == 0)
        return;
    action_add_child(&vm->actions, ACTION_DROP_RING, c->old_ring);
    if (d->old_ring == c->old_ring)
        d->old_ring = 0;
    c->old_ring = 0;
    if (c->debt_ns[DEBT_ACTIVATED] != 0)
        c->debt_ns[DEBT_ACTIVATED] = vm->now; /* it could do nothing before */
}

static void on_ready(struct vm *vm, struct child *c, const Bulkhead__Ready *ready)
{
    struct device *d = device_of(vm, c);
    const char *wrong;

    c->ready_ns = c->beat_ns = vm->now;
    vm_trace(vm, "%s ready", c->name);
    note_missing(c, ready);
    if (!d)
        return;
    wrong = take_announce(d, ready->announce);
    if (wrong) {
        child_kill(c, &vm->actions, vm->now, "%s", wrong);
        return;
    }
    d->announced = true;
    if (ready->old_ring_drained)
        on_ring_drained(vm, c, d);
    if (c->id == d->worker)
        link_on_ready(vm, d);
}

static void on_loaded(struct vm *vm, struct child *c, const Bulkhead__Loaded *loaded)
{
    vm->entry = *loaded->entry; /* no pointers in it */
    vm->entry.base.n_unknown_fields = 0;
    vm->entry.base.unknown_fields = NULL;
    vm->have_entry = true;
    c->loaded = true;
    c->leave_by_ns = vm->now + CHILD_LOADED_LEAVE_MS * UINT64_C(1000000);
    vm_trace(vm, "kernel loaded");
}

static void on_failed(struct vm *vm, struct child *c, const Bulkhead__Failed *failed)
{
    child_copy_clean(c->reason, sizeof c->reason, failed->what);
    c->reason_bad_input = failed->bad_input;
    leaves_soon(vm, c);
}

/* ---- the core ---- */

static void on_guest_state(struct vm *vm, const Bulkhead__GuestState *state)
{
    char detail[160];

    child_copy_clean(detail, sizeof detail, state->detail);
    switch ((int)state->state) {
    case BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING:
        boot_report_trace(vm);
        pause_on_running(vm);
        break;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED:
        break; /* the core's state says so */
    case BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT:
        if (!vm->config->no_reboot)
            end_reboot(vm);
        else
            end_vm(vm, END_BY_GUEST, state->state, "the guest rebooted");
        break;
    default:
        end_vm(vm, state->host_failure ? END_BY_HOST : END_BY_GUEST, state->state, "%s", detail);
        break;
    }
}

static void on_core_snapshot(struct vm *vm, struct child *core, const Bulkhead__Snapshot *s)
{
    adopt_core(vm, core, s);
    if (s->end)
        on_guest_state(vm, s->end);
}

static void on_core_message(struct vm *vm, struct child *core, const Bulkhead__Envelope *e)
{
    switch ((int)e->body_case) {
    case B(DEVICE_SNAPSHOT):
        adopt_device(vm, core, e->device_snapshot);
        break;
    case B(SNAPSHOT):
        on_core_snapshot(vm, core, e->snapshot);
        break;
    case B(ACTIVATE):
        driver_activate(vm, e->activate);
        break;
    case B(RESET):
        driver_reset(vm, e->reset->slot);
        break;
    case B(CONFIG_UPDATE):
        driver_config_from_core(vm, e->config_update);
        break;
    case B(DEVICE_GONE):
        driver_gone(vm, e->device_gone->slot);
        break;
    case B(GUEST_STATE):
        on_guest_state(vm, e->guest_state);
        break;
    default:
        break;
    }
}

/* ---- workers ---- */

/* Legal by the table, but not after what went before. NULL, or what is wrong. Each of these would
 * otherwise reach the core, and with it the VM. */
static const char *lie_of(const struct child *c, const struct device *d,
                          const Bulkhead__Envelope *e)
{
    switch ((int)e->body_case) {
    case B(ACTIVATED):
        return child_owes(c, DEBT_ACTIVATED) ? NULL : "an answer to nothing";
    case B(RESET_DONE):
        return child_owes(c, DEBT_RESET_DONE) ? NULL : "an answer to nothing";
    case B(QUIESCED):
        return child_owes(c, DEBT_QUIESCED) ? NULL : "an answer to nothing";
    case B(RAM_CHANGED):
        return "an answer to nothing"; /* no such thing is asked for yet */
    case B(NEEDS_RESET):
        return c->needs_reset ? "needs_reset a second time" : NULL;
    case B(CONSOLE_ESCAPE):
        /* Only at a terminal there is somebody who could have pressed the keys. */
        return d->has_keys ? NULL : "console_escape without a terminal";
    default:
        return NULL;
    }
}

/* Kept for the worker's successors, also those of the guest's next boot. */
static void on_console_client(struct vm *vm, struct child *c, struct device *d,
                              const struct event *event)
{
    bool attached = event->envelope->console_client->attached;

    if (!d->on_socket || (attached ? event->n_fds != 1 || !event->fd_fits : event->n_fds != 0)) {
        liar(vm, c, "console_client that is none");
        return;
    }
    action_add_device(&vm->actions, ACTION_KEEP_CLIENT, d->number)->flag = attached;
}

/* Of the one that serves the guest. */
static void on_service(struct vm *vm, struct child *c, struct device *d, const struct event *event)
{
    const Bulkhead__Envelope *e = event->envelope;
    struct action *a;

    switch ((int)e->body_case) {
    case B(ACTIVATED):
        /* Said before it touches anything. One that died earlier leaves rings and a journal that are as
         * they were before this activation: its replacement doesn't resume. */
        d->touched = d->active;
        break;
    case B(RESET_DONE):
        d->active = d->touched = false;
        break;
    case B(NEEDS_RESET):
        driver_needs_reset(d, e->needs_reset->why);
        break;
    case B(CONFIG_UPDATE):
        driver_config_from_worker(vm, d, c, e->config_update);
        break;
    case B(LINK_LOST):
        link_on_lost(vm, d, e->link_lost->returns);
        break;
    case B(LINK_FOUND):
        link_on_found(vm, d);
        break;
    case B(CONSOLE_CLIENT):
        on_console_client(vm, c, d, event);
        break;
    case B(VSOCK_CONNECT):
        a = action_add_child(&vm->actions, ACTION_CONNECT, c->id);
        a->device = d->number;
        a->port = e->vsock_connect->port;
        a->token = e->vsock_connect->token;
        break;
    default:
        break;
    }
}

static void on_worker_message(struct vm *vm, struct child *c, const struct event *event)
{
    const Bulkhead__Envelope *e = event->envelope;
    struct device *d = device_of(vm, c);
    const char *lie = lie_of(c, d, e);

    if (lie) {
        liar(vm, c, lie);
        return;
    }
    switch ((int)e->body_case) {
    case B(SNAPSHOT):
        if (e->snapshot->old_ring_drained)
            on_ring_drained(vm, c, d);
        adopt_worker(vm, c, e->snapshot);
        return;
    case B(ACTIVATED):
        c->debt_ns[DEBT_ACTIVATED] = 0;
        break;
    case B(RESET_DONE):
        c->debt_ns[DEBT_RESET_DONE] = 0;
        c->needs_reset = false;
        break;
    case B(QUIESCED):
        c->debt_ns[DEBT_QUIESCED] = 0;
        break;
    case B(NEEDS_RESET):
        c->needs_reset = true;
        break;
    case B(CONSOLE_ESCAPE):
        end_vm(vm, END_BY_USER, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "ended from the terminal");
        return;
    case B(RING_DRAINED):
        on_ring_drained(vm, c, d);
        return;
    default:
        break;
    }
    /* A candidate, or one that was told to leave, has nothing of the guest's. */
    if (c->id == d->worker)
        on_service(vm, c, d, event);
}

/* What was on its way to the broker before counts for nothing, and only who was asked says where it stands. But
 * one that has died can't be asked any more, and its successor must know which ring is to be drained. */
static bool is_answer(const struct vm *vm, const struct child *c, const Bulkhead__Envelope *e)
{
    if (e->body_case == B(SNAPSHOT))
        return c->unsure && c->asked_ns != 0 && e->snapshot->epoch == vm->epoch;
    if (e->body_case == B(DEVICE_SNAPSHOT))
        return c->unsure && c->asked_ns != 0 && e->device_snapshot->epoch == vm->epoch;
    return !c->unsure || e->body_case == B(RING_DRAINED);
}

void incoming_message(struct vm *vm, struct child *c, const struct event *event)
{
    const Bulkhead__Envelope *e = event->envelope;

    if (c->state == CHILD_ENDED || c->killed_ns != 0)
        return; /* the last messages of one that was told to leave */
    if (!is_answer(vm, c, e))
        return;
    if (rules_check(RULE_FROM_CHILD, c->role, c->state, e, event->n_fds) < 0) {
        incoming_broken(vm, c, err_text());
        return;
    }
    c->state = rules_next(RULE_FROM_CHILD, c->role, c->state, e);
    switch ((int)e->body_case) {
    case B(HELLO):
        on_hello(vm, c, e->hello);
        break;
    case B(READY):
        on_ready(vm, c, e->ready);
        break;
    case B(FAILED):
        on_failed(vm, c, e->failed);
        break;
    case B(LOADED):
        on_loaded(vm, c, e->loaded);
        break;
    default:
        if (c->role == BULKHEAD__ROLE__ROLE_CORE)
            on_core_message(vm, c, e);
        else if (c->device != CHILD_NO_DEVICE)
            on_worker_message(vm, c, event);
        break;
    }
}

void incoming_broken(struct vm *vm, struct child *c, const char *why)
{
    liar(vm, c, why);
    c->closed = true;
}

/* It is exiting, which the spawner reports; if it isn't, it can't be led any more. */
void incoming_closed(struct vm *vm, struct child *c)
{
    c->closed = true;
    if (c->leave_by_ns == 0)
        c->leave_by_ns = vm->now + CHILD_CORE_LEAVE_MS * UINT64_C(1000000);
}

/* ---- start and end ---- */

void incoming_started(struct vm *vm, struct child *c, const struct event *event)
{
    unsigned mandatory = event->missing & SANDBOX_LAYERS_MANDATORY;
    const char *layer;

    c->pid = event->pid;
    c->missing_layers = event->missing;
    c->has_ring = event->has_ring;
    vm_trace(vm, "%s spawned", c->name);
    if (mandatory == 0 || vm->insecure)
        return;
    layer = sandbox_layer_name(mandatory & -mandatory);
    c->reason_bad_input = true;
    child_kill(c, &vm->actions, vm->now,
               "this host can't give it the sandbox layer %s: see bulkhead doctor, or "
               "use --insecure",
               layer ? layer : "?");
}

static void passt_not_started(struct vm *vm, struct child *c)
{
    struct device *d = &vm->devices[c->device];

    if (d->stage == STAGE_ADD || d->stage == STAGE_LEAVING)
        link_passt_gone(d, c, c->reason);
    else
        link_passt_refused(vm, d, c->reason);
}

void incoming_start_failed(struct vm *vm, struct child *c, const struct fault *fault)
{
    snprintf(c->reason, sizeof c->reason, "%s%.6s could not be started: %.118s",
             c->device != CHILD_NO_DEVICE ? "its process" : "the ",
             c->device != CHILD_NO_DEVICE ? "" : c->name, fault->text);
    c->reason_bad_input = fault->bad_input;
    if (vm->phase != VM_RUNNING) {
        incoming_exited(vm, c, false, "");
        return;
    }
    if (c->device != CHILD_NO_DEVICE && c->id == vm->devices[c->device].passt)
        passt_not_started(vm, c);
    else if (c->device != CHILD_NO_DEVICE)
        replace_not_started(vm, c, c->reason);
    vm_forget(vm, c);
}

static void core_gone(struct vm *vm, const char *how)
{
    if (vm->phase == VM_RUNNING)
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "the core died: %s", how);
}

/* What follows from its end is the same as of any other. */
void incoming_oom(struct vm *vm, const struct child *c)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", (int)c->pid);
    action_notice(&vm->actions, "vm", "oom_kill", "name", vm->config->name, "process", c->name,
                  "pid", pid, NULL);
    action_log(&vm->actions, false, "%s (pid %s) was killed by the kernel: out of memory", c->name,
               pid);
}

void incoming_exited(struct vm *vm, struct child *c, bool clean, const char *kernel_says)
{
    struct device *d = device_of(vm, c);
    struct child was = *c;
    char how[256];

    child_describe_end(c, kernel_says, how, sizeof how);
    if (d && c->id == d->passt)
        link_passt_gone(d, c, how);
    else if (d)
        replace_gone(vm, c, clean, how);
    if (c->has_ring && (!d || d->old_ring != c->id))
        action_add_child(&vm->actions, ACTION_DROP_RING, c->id);
    vm_forget(vm, c);
    if (was.role == BULKHEAD__ROLE__ROLE_CORE)
        core_gone(vm, how);
    if (vm->phase == VM_STARTING && (!d || was.id != d->candidate))
        boot_child_gone(vm, &was, clean, how);
}
