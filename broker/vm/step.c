/* SPDX-License-Identifier: Apache-2.0 */
/* step.c - see step.h. */
#include "vm/step.h"

#include <stdlib.h>
#include "base/compiler.h"
#include "vm/adopt.h"
#include "vm/boot.h"
#include "vm/command.h"
#include "vm/deadline.h"
#include "vm/driver.h"
#include "vm/end.h"
#include "vm/health.h"
#include "vm/hotplug.h"
#include "vm/incoming.h"
#include "vm/link.h"
#include "vm/pause.h"
#include "vm/replace.h"
#include "vm/settings.h"

enum {
    SETTLES_MAX = 2000
}; /* rules that chase each other are a bug, and must not hang the broker */

static void on_child(struct vm *vm, struct child *c, const struct event *e)
{
    switch ((int)e->kind) {
    case EVENT_MESSAGE:
        incoming_message(vm, c, e);
        break;
    case EVENT_BROKEN:
        incoming_broken(vm, c, e->fault.text);
        break;
    case EVENT_CLOSED:
        incoming_closed(vm, c);
        break;
    case EVENT_STARTED:
        incoming_started(vm, c, e);
        break;
    case EVENT_START_FAILED:
        incoming_start_failed(vm, c, &e->fault);
        break;
    case EVENT_DEAF:
        child_kill(c, &vm->actions, vm->now, "does not take messages (%s)", e->fault.text);
        break;
    case EVENT_EXITED:
        if (e->oom)
            incoming_oom(vm, c);
        incoming_exited(vm, c, e->clean, e->fault.text);
        break;
    default:
        break;
    }
}

static void on_device(struct vm *vm, struct device *d, const struct event *e)
{
    switch ((int)e->kind) {
    case EVENT_NO_ROOM:
        driver_no_room(d, e->from, e->to);
        break;
    case EVENT_PULSE:
        health_pulse(vm, d, e->beat, e->pulse);
        break;
    case EVENT_PASST_SETTLED:
        d->passt_settled = true;
        break;
    case EVENT_TAP:
        if (d->tap != TAP_GONE)
            link_set_tap(vm, d, e->tap);
        break;
    case EVENT_TAP_ATTACHED:
        command_tap_attached(vm, d, &e->fault);
        break;
    case EVENT_PROGRAM_OPENED:
        if (e->fault.error != 0)
            replace_no_program(vm, d, &e->fault);
        else
            replace_program_opened(vm, d);
        break;
    default:
        break;
    }
}

static void on_tick(struct vm *vm, uint64_t lost_ns)
{
    health_excuse(vm, lost_ns);
    for (unsigned i = 0; vm->phase == VM_RUNNING && i < vm->n_devices; i++) {
        if (!vm->devices[i].here)
            continue;
        driver_on_tick(vm, &vm->devices[i]);
        link_on_tick(vm, &vm->devices[i]);
    }
}

static void on_command(struct vm *vm, const struct command *command)
{
    bool taken;

    command_take(vm, command, &taken);
    if (!taken && command->limit)
        bulkhead__rate_limit__free_unpacked(command->limit, NULL);
}

static void handle(struct vm *vm, const struct event *e)
{
    struct child *c = vm_child(vm, e->child);

    switch (e->kind) {
    case EVENT_BOOT:
        boot_begin(vm);
        break;
    case EVENT_BOOT_MADE:
        boot_made(vm);
        break;
    case EVENT_BOOT_FAILED:
        boot_failed(vm, &e->fault);
        break;
    case EVENT_TICK:
        on_tick(vm, e->lost_ns);
        break;
    case EVENT_DEADLINE:
        break; /* looked at when all is settled */
    case EVENT_SPAWNER_GONE:
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE,
               "the spawner died: its VM can't be supervised any more");
        break;
    case EVENT_ADOPTED:
        adopt_begin(vm, e);
        break;
    case EVENT_END:
        end_vm(vm, END_BY_USER, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "%s", e->fault.text);
        break;
    case EVENT_COMMAND:
        on_command(vm, e->command);
        break;
    case EVENT_MESSAGE:
    case EVENT_BROKEN:
    case EVENT_CLOSED:
    case EVENT_STARTED:
    case EVENT_START_FAILED:
    case EVENT_DEAF:
    case EVENT_EXITED:
        if (c)
            on_child(vm, c, e);
        break;
    case EVENT_NO_ROOM:
    case EVENT_PULSE:
    case EVENT_PASST_SETTLED:
    case EVENT_TAP:
    case EVENT_TAP_ATTACHED:
    case EVENT_PROGRAM_OPENED:
    default:
        if (e->device < vm->n_devices && vm->devices[e->device].here)
            on_device(vm, &vm->devices[e->device], e);
        break;
    }
}

static bool settle_device(struct vm *vm, struct device *d)
{
    return hotplug_settle(vm, d) || link_settle(vm, d) || replace_settle(vm, d) ||
           settings_settle(vm, d) || driver_settle(vm, d);
}

static bool settle_once(struct vm *vm)
{
    if (hotplug_settle_end(vm) || end_settle(vm) || boot_settle(vm) || adopt_settle(vm))
        return true;
    if (adopt_waits(vm))
        return false;
    for (unsigned i = 0; vm->phase == VM_RUNNING && i < vm->n_devices; i++)
        if (vm->devices[i].here && settle_device(vm, &vm->devices[i]))
            return true;
    return pause_settle(vm);
}

void vm_step(struct vm *vm, const struct event *event, uint64_t now)
{
    /* Not with a message: after a time in which the broker did not run, answers are read before the tick
     * says how long that was. */
    bool time_passed = event->kind == EVENT_DEADLINE || event->kind == EVENT_TICK;
    unsigned n = 0;

    vm->now = now;
    vm->actions.n = 0;
    vm->actions.full = false;
    handle(vm, event);
    do {
        while (n < SETTLES_MAX && settle_once(vm))
            n++;
    } while (n++ < SETTLES_MAX && time_passed && deadline_pass(vm));
    if (n >= SETTLES_MAX || vm->actions.full)
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE,
               "the broker's rules don't settle: this is a fault of Bulkhead's");
}

uint64_t vm_next_deadline(const struct vm *vm)
{
    return deadline_next(vm);
}
