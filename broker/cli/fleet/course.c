// SPDX-License-Identifier: Apache-2.0
// course.c - see course.h.
#include "fleet/course.h"
#include "base/compiler.h"

bool course_is_up(const struct course_vm *vm)
{
    return vm->there && vm->runs && !vm->leaves && !vm->differs;
}

static bool has_ended_badly(const struct course_vm *vm)
{
    return vm->end == END_FAILED || vm->end == END_SKIPPED;
}

static bool skip(struct course_vm *vm, size_t because)
{
    vm->end = END_SKIPPED;
    vm->because = because;
    return true;
}

/* ---- up ---- */

/* False: one of those that come first isn't that far. */
static bool may_start(struct course *c, size_t i)
{
    const struct fleet_vm *vm = c->fleet->vms[i];
    bool may = true;

    for (size_t k = 0; k < vm->n_after; k++) {
        const struct course_vm *other = &c->vms[vm->after[k].vm];
        bool is_there =
            vm->after[k].when == WHEN_READY ? other->end == END_DONE : course_is_up(other);

        if (!is_there && has_ended_badly(other)) {
            skip(&c->vms[i], vm->after[k].vm);
            return false;
        }
        may &= is_there;
    }
    return may;
}

static enum course_op next_up(struct course *c, size_t i)
{
    struct course_vm *vm = &c->vms[i];

    if (vm->there && vm->differs && !c->recreate) {
        vm->end = END_FAILED;
        return OP_NONE;
    }
    if (course_is_up(vm)) {
        if (c->fleet->vms[i]->ready.kind != READY_NONE && !vm->ready)
            return OP_READY;
        vm->end = END_DONE;
        return OP_NONE;
    }
    if (!may_start(c, i))
        return OP_NONE;
    if (vm->there && vm->differs)
        return OP_REMOVE;
    if (!vm->there)
        return OP_CREATE;
    return vm->leaves ? OP_AWAIT_STOP : OP_START;
}

/* ---- down ---- */

/* False: one of those that wait for it isn't down. */
static bool may_halt(struct course *c, size_t i)
{
    for (size_t j = 0; j < c->fleet->n; j++) {
        const struct fleet_vm *other = c->fleet->vms[j];

        if (c->vms[j].end == END_DONE)
            continue;
        for (size_t k = 0; k < other->n_after; k++) {
            if (other->after[k].vm != i)
                continue;
            if (has_ended_badly(&c->vms[j]))
                skip(&c->vms[i], j);
            return false;
        }
    }
    return true;
}

static enum course_op next_down(struct course *c, size_t i)
{
    struct course_vm *vm = &c->vms[i];

    if (!may_halt(c, i))
        return OP_NONE;
    if (vm->there && (vm->runs || vm->leaves))
        return OP_HALT;
    if (vm->there && c->remove)
        return OP_REMOVE;
    vm->end = END_DONE;
    return OP_NONE;
}

/* ---- both ---- */

static unsigned count_busy(const struct course *c)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->fleet->n; i++)
        n += c->vms[i].busy != OP_NONE && c->vms[i].busy != OP_READY;
    return n;
}

bool course_next(struct course *c, size_t *ret_vm, enum course_op *ret_op)
{
    bool room = count_busy(c) < c->at_once, moved = true;

    while (moved) { /* an end may be what another waits for */
        moved = false;
        for (size_t i = 0; i < c->fleet->n; i++) {
            struct course_vm *vm = &c->vms[i];
            enum course_op op;

            if (vm->end != END_NONE || vm->busy != OP_NONE)
                continue;
            op = c->down ? next_down(c, i) : next_up(c, i);
            moved |= vm->end != END_NONE;
            if (op == OP_NONE || (op != OP_READY && !room))
                continue;
            vm->busy = op;
            *ret_vm = i;
            *ret_op = op;
            return true;
        }
    }
    return false;
}

void course_done(struct course *c, size_t i, bool ok)
{
    struct course_vm *vm = &c->vms[i];
    enum course_op op = vm->busy;

    vm->busy = OP_NONE;
    if (!ok) {
        vm->end = END_FAILED;
        return;
    }
    switch (op) {
    case OP_AWAIT_STOP:
    case OP_HALT:
        vm->runs = vm->leaves = false;
        break;
    case OP_REMOVE:
        vm->there = vm->runs = vm->leaves = vm->differs = false;
        break;
    case OP_CREATE:
    case OP_START:
        vm->there = vm->runs = true;
        break;
    case OP_READY:
        vm->ready = true;
        break;
    case OP_NONE:
    default:
        break;
    }
}

bool course_is_over(const struct course *c)
{
    for (size_t i = 0; i < c->fleet->n; i++)
        if (c->vms[i].end == END_NONE)
            return false;
    return true;
}

size_t course_count(const struct course *c, enum course_end end)
{
    size_t n = 0;

    for (size_t i = 0; i < c->fleet->n; i++)
        n += c->vms[i].end == end;
    return n;
}
