/* SPDX-License-Identifier: Apache-2.0 */
/* supervise.c - what children say and how they die. Every message has passed the table of legal
 * messages (ipc/rules.c) before a handler sees it; a child that breaks it is killed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "devices/backend.h"
#include "sandbox/layers.h"
#include "vm.h"

static void copy_clean(char *dst, size_t size, const char *src)
{
    snprintf(dst, size, "%s", src);
    log_relay_clean(dst, strlen(dst));
}

static void on_hello(struct child *child, const Bulkhead__Hello *hello)
{
    copy_clean(child->build_id, sizeof child->build_id, hello->build_id);
    if (hello->protocol_min > PROTOCOL_MAX || hello->protocol_max < PROTOCOL_MIN) {
        child_kill(child, "speaks protocol %u to %u, this broker %d to %d: install one release",
                   hello->protocol_min, hello->protocol_max, PROTOCOL_MIN, PROTOCOL_MAX);
        return;
    }
    if (child->device && child == child->device->next && upgrade_on_hello(child->device))
        return;
    if (configure_send(child) < 0)
        child_kill(child, "could not be configured");
    /* The write end must be the core's alone: it closes when the core is gone. */
    if (child->role == BULKHEAD__ROLE__ROLE_CORE)
        fd_closep(&child->vm->life_write);
}

/* A replacement must be what the guest already knows. */
static bool same_device(const struct device *d, const Bulkhead__Announce *a)
{
    return a->virtio_id == d->virtio_id && a->num_queues == d->num_queues &&
           a->queue_size >= d->queue_size && a->config.len == d->config_len &&
           (d->guest_features & ~a->features) == 0;
}

static bool take_announce(struct child *child, const Bulkhead__Announce *a)
{
    struct device *d = child->device;

    if (d->plan->pci_slot == 0)
        return a == NULL;
    if (!a || a->num_queues > d->plan->num_queues)
        return false;
    if (d->announced)
        return same_device(d, a);
    d->virtio_id = a->virtio_id;
    d->features = a->features;
    d->num_queues = a->num_queues;
    d->queue_size = a->queue_size;
    d->config_len = a->config.len;
    if (a->config.len > 0) /* an empty field has no address */
        memcpy(d->config, a->config.data, a->config.len);
    return true;
}

/* Only names that we know ourselves are taken from it. */
static void note_missing(struct child *child, const Bulkhead__Ready *ready)
{
    for (size_t i = 0; i < ready->n_missing_layers; i++)
        for (unsigned bit = 1; bit != 0; bit <<= 1) {
            const char *name = sandbox_layer_name(bit);

            if (name && strcmp(name, ready->missing_layers[i]) == 0)
                child->missing_layers |= bit;
        }
}

/* The ring of the last one that had submitted anything needs no watch any more. */
static void on_ring_drained(struct child *child)
{
    if (!child->drains_ring)
        return;
    child->drains_ring = false;
    child_drop_ring(child->vm, &child->device->ring);
}

static void on_worker_ready(struct child *child, const Bulkhead__Ready *ready)
{
    struct device *d = child->device;

    if (!take_announce(child, ready->announce)) {
        child_kill(child, "announced another device than the one it is to be");
        return;
    }
    d->announced = true;
    if (ready->old_ring_drained)
        on_ring_drained(child);
    if (child == d->next)
        upgrade_on_ready(d);
    if (child == d->worker && child->vm->phase == VM_RUNNING)
        repair_on_ready(d);
    if (child == d->worker) {
        netdev_on_ready(d);
        settings_tell(d);
    }
    vm_progress(child->vm);
}

static void on_ready(struct child *child, const Bulkhead__Ready *ready)
{
    struct vm *vm = child->vm;
    Bulkhead__Start start = BULKHEAD__START__INIT;
    ENVELOPE(e, START, start, &start);

    child->ready_ns = now_ns();
    child->heartbeat_ns = child->ready_ns;
    vm_trace(vm, "%s ready", child->name);
    note_missing(child, ready);
    if (child->role == BULKHEAD__ROLE__ROLE_LOADER) {
        child_send(child, &e, NULL, 0);
        return;
    }
    if (child->device)
        on_worker_ready(child, ready);
    else
        vm_progress(vm);
}

static void on_loaded(struct child *child, const Bulkhead__Loaded *loaded)
{
    struct vm *vm = child->vm;

    vm->entry = *loaded->entry; /* no pointers in it */
    vm->entry.base.n_unknown_fields = 0;
    vm->entry.base.unknown_fields = NULL;
    vm->have_entry = true;
    child->loaded = true;
    child->stop_deadline_ns = now_ns() + VM_STOP_WORKERS_MS * 1000000ull;
    vm_trace(vm, "kernel loaded");
}

static void on_guest_state(struct vm *vm, const Bulkhead__GuestState *state)
{
    char detail[160];

    copy_clean(detail, sizeof detail, state->detail);
    switch ((int)state->state) {
    case BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING:
        vm_report_trace(vm);
        pause_on_core_state(vm, state->state);
        break;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED:
        pause_on_core_state(vm, state->state);
        break;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT:
        if (!vm->config->no_reboot)
            vm_reboot(vm);
        else
            vm_end(vm, state->state, false, false, "the guest rebooted");
        break;
    default:
        vm_end(vm, state->state, false, state->host_failure, "%s", detail);
        break;
    }
}

static void on_failed(struct child *child, const Bulkhead__Failed *failed)
{
    copy_clean(child->reason, sizeof child->reason, failed->what);
    child->reason_bad_input = failed->bad_input;
    child->stop_deadline_ns = now_ns() + VM_STOP_WORKERS_MS * 1000000ull;
}

static void on_core_message(struct child *child, const Bulkhead__Envelope *e)
{
    struct vm *vm = child->vm;

    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_ACTIVATE:
        relay_activate(vm, e->activate);
        break;
    case BULKHEAD__ENVELOPE__BODY_RESET:
        relay_reset(vm, e->reset->slot);
        break;
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        relay_config_from_core(vm, e->config_update);
        break;
    case BULKHEAD__ENVELOPE__BODY_GUEST_STATE:
        on_guest_state(vm, e->guest_state);
        break;
    default:
        break;
    }
}

/* Legal by the table, but not after what went before. NULL, or what is wrong. Each of these would
 * otherwise reach the core, and with it the VM. */
static const char *worker_lies(struct child *child, const Bulkhead__Envelope *e)
{
    uint32_t bit = 1u << e->body_case % 32;

    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_ACTIVATED:
    case BULKHEAD__ENVELOPE__BODY_RESET_DONE:
    case BULKHEAD__ENVELOPE__BODY_QUIESCED:
        if (!(child->owed & bit))
            return "an answer to nothing";
        child->owed &= ~bit;
        if (e->body_case == BULKHEAD__ENVELOPE__BODY_RESET_DONE)
            child->needs_reset = false;
        return NULL;
    case BULKHEAD__ENVELOPE__BODY_NEEDS_RESET:
        if (child->needs_reset)
            return "needs_reset a second time";
        child->needs_reset = true;
        return NULL;
    case BULKHEAD__ENVELOPE__BODY_CONSOLE_ESCAPE:
        /* Only at a terminal there is somebody who could have pressed the keys. */
        return child->device->backend.keys ? NULL : "console_escape without a terminal";
    default:
        return NULL;
    }
}

/* Kept for the worker's successors, also those of the guest's next boot. */
static void on_console_client(struct child *child, const Bulkhead__ConsoleClient *m,
                              struct message *msg)
{
    struct backend *b = &child->device->backend;
    bool fits = m->attached ? msg->n_fds == 1 &&
                                  fd_expect(msg->fds[0], FD_TYPE_STREAM, "a console's client") == 0
                            : msg->n_fds == 0;

    if (!fits || b->socket.dir_fd < 0) {
        child_kill(child, "broke the protocol: console_client that is none");
        return;
    }
    fd_closep(&b->client);
    if (m->attached)
        b->client = fd_take(&msg->fds[0]);
}

static void on_worker_message(struct child *child, struct message *msg)
{
    const Bulkhead__Envelope *e = msg->envelope;
    struct device *d = child->device;
    const char *lie = worker_lies(child, e);

    if (lie) {
        child_kill(child, "broke the protocol: %s", lie);
        return;
    }
    if (e->body_case == BULKHEAD__ENVELOPE__BODY_CONSOLE_ESCAPE) {
        vm_end(child->vm, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, true, false,
               "ended from the terminal");
        return;
    }
    if (e->body_case == BULKHEAD__ENVELOPE__BODY_RING_DRAINED) {
        on_ring_drained(child);
        return;
    }
    if (child != d->worker) /* a candidate, or one that was told to leave: nothing of the guest's */
        return;
    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_ACTIVATED:
        /* Said before it touches anything. One that died earlier leaves rings and a journal that
         * are as they were before this activation: its replacement doesn't resume. */
        d->worker_activated = d->active;
        upgrade_on_activated(d);
        break;
    case BULKHEAD__ENVELOPE__BODY_RESET_DONE:
        relay_reset_done(d);
        break;
    case BULKHEAD__ENVELOPE__BODY_NEEDS_RESET:
        relay_needs_reset(d, e->needs_reset->why);
        break;
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        relay_config_from_worker(d, e->config_update);
        break;
    case BULKHEAD__ENVELOPE__BODY_LINK_LOST:
        netdev_on_link_lost(d, e->link_lost->returns);
        break;
    case BULKHEAD__ENVELOPE__BODY_LINK_FOUND:
        netdev_on_link_found(d);
        break;
    case BULKHEAD__ENVELOPE__BODY_QUIESCED:
        upgrade_on_quiesced(d);
        pause_steer(d); /* what it was asked for may not be wanted any more */
        pause_on_progress(child->vm);
        break;
    case BULKHEAD__ENVELOPE__BODY_CONSOLE_CLIENT:
        on_console_client(child, e->console_client, msg);
        break;
    case BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECT:
        relay_vsock_connect(child, e->vsock_connect);
        break;
    default:
        break;
    }
}

static void dispatch(struct child *child, struct message *msg)
{
    const Bulkhead__Envelope *e = msg->envelope;

    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_HELLO:
        on_hello(child, e->hello);
        break;
    case BULKHEAD__ENVELOPE__BODY_READY:
        on_ready(child, e->ready);
        break;
    case BULKHEAD__ENVELOPE__BODY_FAILED:
        on_failed(child, e->failed);
        break;
    case BULKHEAD__ENVELOPE__BODY_LOADED:
        on_loaded(child, e->loaded);
        break;
    default:
        if (child->role == BULKHEAD__ROLE__ROLE_CORE)
            on_core_message(child, e);
        else if (child->device)
            on_worker_message(child, msg);
        break;
    }
}

/* At most 32 messages a turn: a flood by one child doesn't starve the others. True: there may be
 * more. */
static bool receive_some(struct child *child)
{
    for (int turn = 0; turn < 32 && child->channel; turn++) {
        struct message msg;
        int r = channel_receive(child->channel, false, &msg);

        if (r == CHANNEL_EMPTY)
            return false;
        if (r == CHANNEL_CLOSED || r == -ECONNRESET) {
            /* It is exiting, which the spawner reports; if it isn't, it can't be led any more. */
            if (child->stop_deadline_ns == 0)
                child->stop_deadline_ns = now_ns() + VM_STOP_CORE_MS * 1000000ull;
            child_close(child);
            return false;
        }
        if (child->state == CHILD_ENDED || child->killing)
            continue; /* the last messages of one that was told to leave */
        if (r == 0)
            r = rules_check(RULE_FROM_CHILD, child->role, child->state, msg.envelope, msg.n_fds);
        if (r < 0) {
            child_kill(child, "broke the protocol: %s", err_text());
            child_close(child);
            return false;
        }
        child->state = rules_next(RULE_FROM_CHILD, child->role, child->state, msg.envelope);
        dispatch(child, &msg);
    }
    return child->channel != NULL;
}

void supervise_on_message(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    (void)receive_some(arg);
}

static void on_loader_gone(struct vm *vm, struct child *child, bool clean, const char *how)
{
    struct fault f;

    vm->loader = NULL;
    if (vm->phase != VM_STARTING)
        return;
    if (child->loaded && clean) {
        vm_progress(vm);
        return;
    }
    if (child->reason_bad_input)
        fault_input(&f, "%s", child->reason);
    else
        fault_host(&f, ECHILD, "the loader died: %s", how);
    vm_fail(vm, &f);
}

static void on_core_gone(struct vm *vm, struct child *child, const char *how)
{
    struct fault f;

    vm->core = NULL;
    if (vm->phase == VM_STARTING) {
        if (child->reason_bad_input)
            fault_input(&f, "%s: see bulkhead doctor", child->reason);
        else
            fault_host(&f, ECHILD, "the core died while starting: %s", how);
        vm_fail(vm, &f);
    } else if (vm->phase == VM_RUNNING) {
        vm_end(vm, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, false, true, "the core died: %s", how);
    }
}

static void on_worker_gone(struct vm *vm, struct child *child, bool clean, const char *how)
{
    struct device *d = child->device;
    struct fault f;

    if (child == d->passt) {
        netdev_on_passt_gone(d, how);
        return;
    }
    if (child == d->next) {
        d->next = NULL;
        upgrade_on_next_gone(d, how);
        return;
    }
    if (child != d->worker)
        return; /* it had been told to leave */
    d->worker = NULL;
    /* One that has not drained its predecessor's ring has not used its own: the older one is kept. */
    if (!child->drains_ring) {
        child_drop_ring(vm, &d->ring);
        d->ring = child->ring;
    }
    if (vm->phase == VM_STARTING) {
        if (child->reason_bad_input)
            fault_input(&f, "%s: %s", d->plan->name, child->reason);
        else if (clean && vm->core)
            /* Nothing but the end of the life pipe makes a worker leave of its own accord: what
             * the core said last, or its exit, is on the way and says more. */
            return;
        else if (clean)
            fault_host(&f, ECHILD, "the core died while starting: %s saw it leave", d->plan->name);
        else
            fault_host(&f, ECHILD, "%s (%s) died while starting: %s", d->plan->name,
                       plan_program(d->plan->role), how);
        vm_fail(vm, &f);
    } else if (vm->phase == VM_RUNNING && clean && child->state != CHILD_ENDED) {
        repair_on_leave(d, how);
    } else if (vm->phase == VM_RUNNING) {
        repair_on_death(d, how);
    }
}

/* What ended it, as far as we know: the reason we had, its own last words, or how the kernel puts it. */
static void describe_end(const struct child *child, int wait_code, int wait_status, char *dst,
                         size_t size)
{
    bool talks = child->role == BULKHEAD__ROLE__ROLE_PASST && wait_code == CLD_EXITED && child->log;
    const char *last_words = talks ? log_relay_last(child->log) : "";
    char exit_text[64];

    child_describe_exit(wait_code, wait_status, exit_text, sizeof exit_text);
    if (wait_code == 0)
        snprintf(dst, size, "%s", child->reason);
    else if (child->reason[0] != '\0')
        snprintf(dst, size, "%s (%s)", child->reason, exit_text);
    else if (last_words[0] != '\0')
        snprintf(dst, size, "%s", last_words);
    else
        snprintf(dst, size, "pid %d %s", (int)child->pid, exit_text);
}

void supervise_on_exit(struct child *child, int wait_code, int wait_status)
{
    struct vm *vm = child->vm;
    bool clean = wait_code == CLD_EXITED && wait_status == 0;
    char how[256];

    while (receive_some(child)) /* what it said last counts */
        ;
    if (child->log)
        log_relay_end(child->log);
    describe_end(child, wait_code, wait_status, how, sizeof how);
    child_close(child);
    if (child->role == BULKHEAD__ROLE__ROLE_LOADER)
        on_loader_gone(vm, child, clean, how);
    else if (child->role == BULKHEAD__ROLE__ROLE_CORE)
        on_core_gone(vm, child, how);
    else
        on_worker_gone(vm, child, clean, how);
    child_free(child);
    vm_on_child_gone(vm);
}
