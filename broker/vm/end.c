/* SPDX-License-Identifier: Apache-2.0 */
/* end.c - see end.h. */
#include "vm/end.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/compiler.h"

enum { CORE_DIED_GRACE_MS = 60 };

static void begin(struct vm *vm)
{
    if (vm->phase != VM_GONE)
        vm->phase = VM_ENDING;
}

void end_fail(struct vm *vm, const struct fault *fault)
{
    struct vm_end *end = &vm->end;

    if (!end->ended) {
        end->ended = true;
        end->fault = *fault;
        /* a reboot can't blame the user */
        end->by = vm->ran || !fault->bad_input ? END_BY_HOST : END_BY_GUEST;
        snprintf(end->detail, sizeof end->detail, "%s", fault->text);
    }
    end->reboot = false;
    begin(vm);
}

void end_vm(struct vm *vm, enum end_by by, Bulkhead__GuestStateKind state, const char *fmt, ...)
{
    struct vm_end *end = &vm->end;
    va_list args;

    if (!end->ended || end->reboot) {
        end->ended = true;
        end->reboot = false;
        end->state = state;
        end->by = by;
        va_start(args, fmt);
        vsnprintf(end->detail, sizeof end->detail, fmt, args);
        va_end(args);
        if (!vm->ran) {
            end->fault.error = by == END_BY_USER ? ECANCELED : EIO;
            snprintf(end->fault.text, sizeof end->fault.text, "%s", end->detail);
        }
    }
    begin(vm);
}

void end_reboot(struct vm *vm)
{
    if (vm->end.ended)
        return;
    vm->end.ended = vm->end.reboot = true;
    vm->end.state = BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT;
    begin(vm);
}

/* Whoever has not been told to leave is told now. */
static bool stop_all(struct vm *vm, bool core_too)
{
    uint64_t soon = vm->now + CORE_DIED_GRACE_MS * UINT64_C(1000000);
    bool moved = false;

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct child *c = &vm->children[i];

        if (c->id == 0 || c->killed_ns != 0 || (c->id == vm->core && !core_too))
            continue;
        if (c->state != CHILD_ENDED) {
            child_stop(c, &vm->actions, vm->now);
            moved = true;
        }
        /* Workers see the core's end by themselves. */
        if (vm->core == 0 && (c->leave_by_ns == 0 || c->leave_by_ns > soon))
            c->leave_by_ns = soon;
    }
    return moved;
}

static void begin_again(struct vm *vm)
{
    action_add(&vm->actions, ACTION_FREE_BOOT);
    for (unsigned i = 0; i < vm->n_devices; i++)
        device_unboot(&vm->devices[i]);
    vm->have_entry = false;
    vm->run = GUEST_RUNS;
    vm->end = (struct vm_end){ 0 };
    vm->phase = VM_NEW;
    action_notice(&vm->actions, "vm", "rebooting", NULL);
}

static void refuse(struct vm *vm, struct ticket *ticket)
{
    struct fault f;

    fault_input(&f, "the VM has ended");
    action_reply(&vm->actions, ticket, &f);
}

bool end_settle(struct vm *vm)
{
    unsigned n;

    if (vm->phase != VM_ENDING)
        return false;
    n = vm_count_children(vm);
    if (n > 0)
        return stop_all(vm, n == 1);
    for (unsigned i = 0; i < vm->n_devices; i++) {
        refuse(vm, &vm->devices[i].asker);
        refuse(vm, &vm->devices[i].remover);
    }
    refuse(vm, &vm->run_asker);
    refuse(vm, &vm->all_asker);
    vm->upgrades_all = false;
    if (vm->end.reboot) {
        begin_again(vm);
    } else {
        vm->phase = VM_GONE;
        action_add(&vm->actions, ACTION_ENDED);
    }
    return true;
}
