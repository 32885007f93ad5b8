// SPDX-License-Identifier: Apache-2.0
// record.c - a record that a broker wrote that was taken over: a valid one with any bytes changed. It is refused,
// or the VM that is made of it goes on like any other: every event settles, and it can be ended.
#include "vm/record.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ipc/channel.h"
#include "vm_config.h"
#include "vm/step.h"

enum { MANY_DEADLINES = 2000, CHANGE_BYTES = 4 };

static struct vm vm;
static struct plan plan;
static Bulkhead__VmConfig *config;
static struct record valid;
static uint64_t now = UINT64_C(1000000000000);

static void step(const struct event *event)
{
    now += 1000000;
    vm_step(&vm, event, now);
    if (vm.actions.full)
        abort();
}

static void begin(void)
{
    memset(&vm, 0, sizeof vm);
    vm_init(&vm, config, &plan, now);
    vm.insecure = true;
}

/* Everybody there, each device active. */
static void make_valid(void)
{
    const struct event boot = { .kind = EVENT_BOOT }, made = { .kind = EVENT_BOOT_MADE };

    config = vm_config_plain("user");
    config->memory->size = 64 << 20;
    plan_make(config, &plan);
    begin();
    step(&boot);
    step(&made);
    vm.phase = VM_RUNNING;
    vm.ran = true;
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm.children[i].id != 0)
            vm.children[i].state = CHILD_RUNNING;
    for (unsigned i = 0; i < vm.n_devices; i++) {
        struct device *d = &vm.devices[i];

        d->stage = STAGE_SERVED;
        d->announced = d->attached = d->active = device_is_pci(d);
        d->num_queues = d->plan->num_queues;
        d->queue_size = d->plan->queue_size;
        d->n_queues = device_is_pci(d) ? 1 : 0;
        d->queues[0].size = 8;
        d->active = device_is_pci(d);
    }
    record_store(&vm, &valid);
    vm_deinit(&vm);
}

static void adopt(unsigned missing)
{
    static struct kept_child kept[VM_MAX_CHILDREN];
    struct event e = { .kind = EVENT_ADOPTED, .kept = kept };

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm.children[i].id != 0 && i != missing)
            kept[e.n_kept++] = (struct kept_child){ .id = vm.children[i].id, .pid = 100 };
    step(&e);
}

static void say_snapshot(uint32_t id)
{
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    ENVELOPE(envelope, SNAPSHOT, snapshot, &snapshot);
    const struct event e = { .kind = EVENT_MESSAGE, .child = id, .envelope = &envelope };

    snapshot.epoch = vm.epoch;
    snapshot.state = id == vm.core ? BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING
                                   : BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY;
    step(&e);
}

static void end(void)
{
    const struct event stop = { .kind = EVENT_END }, deadline = { .kind = EVENT_DEADLINE };

    step(&stop);
    for (int i = 0; i < MANY_DEADLINES && vm.phase != VM_GONE; i++) {
        struct event left = { .kind = EVENT_EXITED };

        for (unsigned c = 0; c < VM_MAX_CHILDREN; c++)
            if (vm.children[c].id != 0) {
                left.child = vm.children[c].id;
                step(&left);
                break;
            }
        now = MAX(now, vm_next_deadline(&vm));
        step(&deadline);
    }
    if (vm.phase != VM_GONE) {
        fprintf(stderr, "record: the VM does not end\n");
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record changed;
    unsigned missing = size > 0 ? data[0] : 0;

    if (!config)
        make_valid();
    changed = valid;
    for (size_t i = 1; i + CHANGE_BYTES <= size; i += CHANGE_BYTES) {
        size_t at =
            (data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) % sizeof changed;

        ((uint8_t *)&changed)[at] = data[i + 3];
    }
    begin();
    vm.epoch = 1;
    if (record_load(&vm, &changed, now) == 0) {
        adopt(missing);
        for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
            if (vm.children[i].id != 0)
                say_snapshot(vm.children[i].id);
        if (vm.phase != VM_GONE)
            end();
    }
    vm_deinit(&vm);
    return 0;
}
