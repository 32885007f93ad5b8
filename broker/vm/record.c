/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - see record.h. */
#include "vm/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "base/err.h"
#include "config/group.h"

/* ---- writing ---- */

static void put_text(char *dst, size_t size, const char *src)
{
    size_t len = strnlen(src, size - 1);

    memcpy(dst, src, len);
    memset(dst + len, 0, size - len);
}

static void store_child(const struct child *c, struct record_child *r)
{
    *r = (struct record_child){
        .id = c->id,
        .role = c->role,
        .device = c->device,
        .uid_slot = c->uid_slot,
        .program = c->program,
        .state = c->state,
        .missing_layers = c->missing_layers,
        .old_ring = c->old_ring,
        .pid = c->pid,
        .stream = c->stream,
        .closed = c->closed,
        .has_ring = c->has_ring,
        .link_up = c->link_up,
        .needs_reset = c->needs_reset,
        .leaves = c->leave_by_ns != 0,
        .killed = c->killed_ns != 0,
        .reason_bad_input = c->reason_bad_input,
    };
    for (unsigned debt = 0; debt < DEBTS; debt++)
        r->debts |= c->debt_ns[debt] != 0 ? 1u << debt : 0;
    put_text(r->build_id, sizeof r->build_id, c->build_id);
    put_text(r->reason, sizeof r->reason, c->reason);
}

static void store_bucket(const Bulkhead__TokenBucket *b, struct record_bucket *r)
{
    *r = (struct record_bucket){ 0 };
    if (b)
        *r = (struct record_bucket){ .size = b->size,
                                     .one_time_burst = b->one_time_burst,
                                     .refill_time_ms = b->refill_time_ms };
}

static Bulkhead__RateLimitGroup *group_of(const struct vm *vm, const struct device *d)
{
    return d->plan->role == BULKHEAD__ROLE__ROLE_BLK
               ? group_of_disk(vm->config, vm->config->disks[d->plan->index])
               : NULL;
}

static void store_limit(const struct vm *vm, const struct device *d, struct record_device *r)
{
    const Bulkhead__RateLimitGroup *group = group_of(vm, d);
    const Bulkhead__RateLimit *limit = group ? group->limit : d->rate_limit;

    r->has_limit = limit != NULL;
    store_bucket(limit ? limit->bandwidth : NULL, &r->bandwidth);
    store_bucket(limit ? limit->ops : NULL, &r->ops);
}

static void store_guest(const struct device *d, struct record_device *r)
{
    r->guest_features = d->guest_features;
    r->activation = d->activation;
    r->n_queues = d->n_queues;
    for (unsigned i = 0; i < d->n_queues; i++)
        r->queues[i] = (struct record_queue){ .index = d->queues[i].index,
                                              .size = d->queues[i].size,
                                              .desc = d->queues[i].desc,
                                              .avail = d->queues[i].avail,
                                              .used = d->queues[i].used };
    r->active = d->active;
    r->touched = d->touched;
    r->reset_wanted = d->reset_wanted;
}

static void store_health(const struct device *d, struct record_device *r)
{
    unsigned n = MIN(d->n_deaths, (unsigned)RECORD_DEATHS);

    r->failed = d->failed;
    r->by_hand = d->by_hand;
    r->restarts = d->restarts;
    r->n_deaths = n;
    memcpy(r->deaths_ns, d->deaths_ns + d->n_deaths - n, n * sizeof r->deaths_ns[0]);
    r->died_ns = d->died_ns;
    r->upgraded_ns = d->upgraded_ns;
    put_text(r->last_reason, sizeof r->last_reason, d->last_reason);
    r->vacated = d->vacated;
    r->vacated_clean = d->vacated_clean;
    put_text(r->vacated_how, sizeof r->vacated_how, d->vacated_how);
}

static void store_device(const struct vm *vm, const struct device *d, struct record_device *r)
{
    r->features = d->features;
    r->virtio_id = d->virtio_id;
    r->num_queues = d->num_queues;
    r->queue_size = d->queue_size;
    r->config_len = (uint32_t)d->config_len;
    memcpy(r->config, d->config, d->config_len);
    r->announced = d->announced;
    r->attached = d->attached;
    store_guest(d, r);
    r->worker = d->worker;
    r->candidate = d->candidate;
    r->passt = d->passt;
    r->old_ring = d->old_ring;
    r->stage = d->stage;
    store_health(d, r);
    r->balloon_bytes = d->balloon_bytes;
    r->settings = d->settings;
    store_limit(vm, d, r);
    r->tap = d->tap;
    r->stream = d->stream;
    r->link_down = d->link_down;
    r->passt_settled = d->passt_settled;
    r->passt_failed = d->passt_failed;
    r->passt_deaths = d->passt_deaths;
    r->here = d->here;
    r->removal = (uint8_t)d->removal;
    r->gone = d->gone;
}

void record_store(const struct vm *vm, struct record *r)
{
    r->version = RECORD_VERSION;
    r->bytes = sizeof *r;
    r->phase = vm->phase;
    r->core = vm->core;
    r->loader = vm->loader;
    r->next_id = vm->next_id;
    r->run = vm->run;
    r->ran = vm->ran;
    r->core_told = vm->core_told;
    r->created_ns = vm->created_ns;
    r->ended = vm->end.ended;
    r->reboot = vm->end.reboot;
    r->by = (uint8_t)vm->end.by;
    r->end_state = vm->end.state;
    r->end_error = vm->end.fault.error;
    r->bad_input = vm->end.fault.bad_input;
    put_text(r->end_text, sizeof r->end_text, vm->end.fault.text);
    put_text(r->end_detail, sizeof r->end_detail, vm->end.detail);
    r->n_children = 0;
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0)
            store_child(&vm->children[i], &r->children[r->n_children++]);
    r->n_devices = vm->n_devices;
    for (unsigned i = 0; i < vm->n_devices; i++)
        store_device(vm, &vm->devices[i], &r->devices[i]);
}

/* ---- reading ---- */

static int wrong(const char *what, uint32_t number)
{
    return err_origin(-EBADMSG, "the record of the broker before: %s %u", what, number);
}

static void take_text(char *dst, size_t size, const char *src, size_t src_size)
{
    char text[FAULT_TEXT_MAX];
    size_t len = strnlen(src, src_size - 1);

    memcpy(text, src, len);
    text[len] = '\0';
    child_copy_clean(dst, size, text);
}

static bool role_fits(const struct vm *vm, const struct record_child *r)
{
    const struct plan_device *plan;

    if (r->role == BULKHEAD__ROLE__ROLE_CORE || r->role == BULKHEAD__ROLE__ROLE_LOADER)
        return r->device == CHILD_NO_DEVICE;
    if (r->device >= vm->n_devices)
        return false;
    plan = vm->devices[r->device].plan;
    return r->role == plan->role ||
           (r->role == BULKHEAD__ROLE__ROLE_PASST && plan->passt_uid_slot != 0);
}

static bool is_taken(const struct vm *vm, const struct record_child *r)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0 &&
            (vm->children[i].id == r->id || vm->children[i].uid_slot == r->uid_slot))
            return true;
    return false;
}

static int load_child(struct vm *vm, const struct record_child *r, struct child *c, uint64_t now)
{
    struct child *fresh = c;

    if (r->id == 0 || r->id > vm->next_id || !role_fits(vm, r) ||
        r->uid_slot >= PLAN_UID_PASST + PLAN_MAX_DEVICES || r->program > PROGRAM_CANDIDATE ||
        r->state >= CHILD_STATE__MAX || r->pid < 0 || is_taken(vm, r))
        return wrong("process", r->id);
    *fresh = (struct child){
        .id = r->id,
        .role = (Bulkhead__Role)r->role,
        .device = r->device,
        .uid_slot = r->uid_slot,
        .program = (enum child_program)r->program,
        .state = (enum child_state)r->state,
        .missing_layers = r->missing_layers,
        .old_ring = r->old_ring,
        .pid = r->pid,
        .stream = r->stream,
        .closed = r->closed,
        .has_ring = r->has_ring,
        .link_up = r->link_up,
        .needs_reset = r->needs_reset,
        .killed_ns = r->killed ? now : 0,
        .leave_by_ns = r->leaves ? now + CHILD_LEAVE_MS * UINT64_C(1000000) : 0,
        .reason_bad_input = r->reason_bad_input,
        .started_ns = now,
        .ready_ns = now,
        .beat_ns = now,
    };
    for (unsigned debt = 0; debt < DEBTS; debt++)
        c->debt_ns[debt] = r->debts & (1u << debt) ? now : 0;
    take_text(c->build_id, sizeof c->build_id, r->build_id, sizeof r->build_id);
    take_text(c->reason, sizeof c->reason, r->reason, sizeof r->reason);
    if (c->device == CHILD_NO_DEVICE)
        snprintf(c->name, sizeof c->name, "%s", role_name(c->role));
    else
        snprintf(c->name, sizeof c->name, "%s%s", vm->devices[c->device].plan->name,
                 c->role == BULKHEAD__ROLE__ROLE_PASST ? "-passt" : "");
    return 0;
}

/* Nobody, or a process of that device in that role. */
static bool serves(const struct vm *vm, uint32_t id, Bulkhead__Role role, unsigned device)
{
    const struct child *c = vm_look(vm, id);

    return id == 0 || (c && c->role == role && c->device == device);
}

static Bulkhead__TokenBucket *load_bucket(const struct record_bucket *r)
{
    Bulkhead__TokenBucket *b;

    if (r->size == 0 || r->refill_time_ms == 0)
        return NULL;
    b = malloc(sizeof *b);
    if (!b)
        return NULL;
    bulkhead__token_bucket__init(b);
    b->size = r->size;
    b->one_time_burst = r->one_time_burst;
    b->refill_time_ms = r->refill_time_ms;
    return b;
}

static int load_limit(struct vm *vm, struct device *d, const struct record_device *r)
{
    Bulkhead__RateLimitGroup *group = group_of(vm, d);
    Bulkhead__RateLimit **place = group ? &group->limit : &d->rate_limit, *limit;

    if (r->settings == 0 || !r->has_limit)
        return 0;
    limit = malloc(sizeof *limit);
    if (!limit)
        return err_origin(-ENOMEM, "a rate limit");
    bulkhead__rate_limit__init(limit);
    limit->bandwidth = load_bucket(&r->bandwidth);
    limit->ops = load_bucket(&r->ops);
    if (*place)
        bulkhead__rate_limit__free_unpacked(*place, NULL);
    *place = limit;
    return 0;
}

static bool guest_fits(const struct device *d, const struct record_device *r)
{
    if (r->n_queues > r->num_queues || (r->guest_features & ~r->features) != 0 ||
        (r->active && !r->announced))
        return false;
    for (unsigned i = 0; i < r->n_queues; i++) {
        const struct record_queue *q = &r->queues[i];

        if (q->index >= r->num_queues || !is_power_of_two(q->size) || q->size > r->queue_size)
            return false;
        for (unsigned j = 0; j < i; j++)
            if (r->queues[j].index == q->index)
                return false;
    }
    return !device_is_pci(d) ? !r->attached && !r->active : true;
}

static bool device_fits(const struct vm *vm, const struct device *d, const struct record_device *r)
{
    Bulkhead__Role role = d->plan->role;
    bool balloon = role == BULKHEAD__ROLE__ROLE_BALLOON;

    return r->num_queues <= d->plan->num_queues && r->queue_size <= 32768 &&
           r->config_len <= RULE_MAX_CONFIG_BYTES && guest_fits(d, r) &&
           r->stage <= STAGE_LEAVING && r->removal <= REMOVAL_FORCED &&
           (r->gone || r->removal != REMOVAL_NONE || r->stage != STAGE_LEAVING) &&
           r->tap <= TAP_GONE && r->n_deaths <= RECORD_DEATHS &&
           serves(vm, r->worker, role, d->number) && serves(vm, r->candidate, role, d->number) &&
           serves(vm, r->passt, BULKHEAD__ROLE__ROLE_PASST, d->number) &&
           (r->worker == 0 || r->worker != r->candidate) &&
           (!balloon ||
            (r->balloon_bytes % PAGE_BYTES == 0 && r->balloon_bytes < vm->config->memory->size));
}

static void load_health(struct device *d, const struct record_device *r, uint64_t now)
{
    d->failed = r->failed;
    d->by_hand = r->by_hand;
    d->restarts = r->restarts;
    d->n_deaths = r->n_deaths;
    for (unsigned i = 0; i < r->n_deaths; i++)
        d->deaths_ns[i] = MIN(r->deaths_ns[i], now);
    d->died_ns = MIN(r->died_ns, now);
    d->upgraded_ns = MIN(r->upgraded_ns, now);
    take_text(d->last_reason, sizeof d->last_reason, r->last_reason, sizeof r->last_reason);
    d->vacated = r->vacated;
    d->vacated_clean = r->vacated_clean;
    take_text(d->vacated_how, sizeof d->vacated_how, r->vacated_how, sizeof r->vacated_how);
}

static void load_guest(struct device *d, const struct record_device *r)
{
    d->guest_features = r->guest_features;
    d->activation = r->activation;
    d->n_queues = r->n_queues;
    for (unsigned i = 0; i < r->n_queues; i++)
        d->queues[i] = (struct queue){ .index = r->queues[i].index,
                                       .size = r->queues[i].size,
                                       .desc = r->queues[i].desc,
                                       .avail = r->queues[i].avail,
                                       .used = r->queues[i].used };
    d->active = r->active;
    d->touched = r->touched;
    d->reset_wanted = r->reset_wanted;
}

static int load_device(struct vm *vm, struct device *d, const struct record_device *r, uint64_t now)
{
    d->here = r->here;
    if (!d->here)
        return 0;
    if (plan_is_free(d->plan) || !device_fits(vm, d, r))
        return wrong("device", d->number);
    d->features = r->features;
    d->virtio_id = r->virtio_id;
    d->num_queues = r->num_queues;
    d->queue_size = r->queue_size;
    d->config_len = r->config_len;
    memcpy(d->config, r->config, r->config_len);
    d->announced = r->announced;
    d->attached = r->attached;
    load_guest(d, r);
    d->worker = r->worker;
    d->candidate = r->candidate;
    d->passt = r->passt;
    d->old_ring = r->old_ring;
    device_enter(d, (enum stage)r->stage, now);
    load_health(d, r, now);
    d->balloon_bytes = r->balloon_bytes;
    d->settings = r->settings;
    d->tap = d->tap_told = (enum tap_state)r->tap;
    d->stream = r->stream;
    d->link_down = r->link_down;
    d->passt_settled = r->passt_settled;
    d->passt_failed = r->passt_failed;
    d->passt_deaths = r->passt_deaths;
    d->passt_window_ns = now;
    d->removal = (enum removal)r->removal;
    d->removal_told = r->stage == STAGE_LEAVING;
    d->removal_ns = now;
    d->gone = r->gone;
    return load_limit(vm, d, r);
}

static int load_vm(struct vm *vm, const struct record *r, uint64_t now)
{
    if (r->phase > VM_GONE || r->run > GUEST_RESUMING || r->by > END_BY_HOST ||
        r->end_state > BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR || r->end_error < 0 ||
        r->n_children > VM_MAX_CHILDREN || r->n_devices != vm->n_devices)
        return wrong("phase", r->phase);
    vm->phase = (enum vm_phase)r->phase;
    vm->next_id = r->next_id;
    vm->run = (enum guest_run)r->run;
    vm->run_ns = vm->boot_ns = now;
    vm->ran = r->ran;
    vm->core_told = r->core_told;
    vm->traced = true;
    vm->created_ns = MIN(r->created_ns, now);
    vm->end.ended = r->ended;
    vm->end.reboot = r->reboot;
    vm->end.by = (enum end_by)r->by;
    vm->end.state = (Bulkhead__GuestStateKind)r->end_state;
    vm->end.fault.error = r->end_error;
    vm->end.fault.bad_input = r->bad_input;
    take_text(vm->end.fault.text, sizeof vm->end.fault.text, r->end_text, sizeof r->end_text);
    take_text(vm->end.detail, sizeof vm->end.detail, r->end_detail, sizeof r->end_detail);
    return 0;
}

int record_load(struct vm *vm, const struct record *r, uint64_t now)
{
    int result = 0;

    if (r->version != RECORD_VERSION || r->bytes != sizeof *r)
        return wrong("version", r->version);
    result = load_vm(vm, r, now);
    for (unsigned i = 0; result == 0 && i < r->n_children; i++)
        result = load_child(vm, &r->children[i], &vm->children[i], now);
    for (unsigned i = 0; result == 0 && i < r->n_devices; i++)
        result = load_device(vm, &vm->devices[i], &r->devices[i], now);
    if (result < 0)
        return err_trace(result);
    if (!serves(vm, r->core, BULKHEAD__ROLE__ROLE_CORE, CHILD_NO_DEVICE) ||
        !serves(vm, r->loader, BULKHEAD__ROLE__ROLE_LOADER, CHILD_NO_DEVICE))
        return wrong("core", r->core);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0 && vm->children[i].device != CHILD_NO_DEVICE &&
            !vm->devices[vm->children[i].device].here)
            return wrong("process", vm->children[i].id);
    vm->core = r->core;
    vm->loader = r->loader;
    return 0;
}
