/* SPDX-License-Identifier: Apache-2.0 */
/* vm_undone.c - see vm_undone.h. */
#include "vm_undone.h"

static struct actions undone;

void undone_clear(void)
{
    undone.n = 0;
}

void undone_note(const struct vm *vm, const struct action *actions, unsigned n)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < undone.n; i++) {
        const struct child *c = vm_look(vm, undone.list[i].child);

        if (c && c->unsure)
            undone.list[kept++] = undone.list[i];
    }
    undone.n = kept;
    for (unsigned i = 0; i < n && undone.n < ACTIONS_MAX; i++)
        if (actions[i].kind == ACTION_TELL || actions[i].kind == ACTION_START)
            undone.list[undone.n++] = actions[i];
}

bool undone_start(uint32_t child)
{
    for (unsigned i = 0; i < undone.n; i++)
        if (undone.list[i].kind == ACTION_START && undone.list[i].child == child)
            return true;
    return false;
}

static const struct action *find(uint32_t child, Bulkhead__Envelope__BodyCase body)
{
    for (unsigned i = 0; i < undone.n; i++) {
        const struct action *a = &undone.list[i];

        if (a->kind == ACTION_TELL && a->child == child &&
            a->body != BULKHEAD__ENVELOPE__BODY_RESYNC &&
            (a->body == body || body == BULKHEAD__ENVELOPE__BODY__NOT_SET))
            return a;
    }
    return NULL;
}

enum child_state undone_state(const struct child *child)
{
    const struct action *first = find(child->id, BULKHEAD__ENVELOPE__BODY__NOT_SET);

    return first ? first->state : child->state;
}

bool undone_tell(uint32_t child, Bulkhead__Envelope__BodyCase body)
{
    return find(child, body) != NULL;
}

bool undone_tell_of(uint32_t core, Bulkhead__Envelope__BodyCase body, unsigned device)
{
    for (unsigned i = 0; i < undone.n; i++) {
        const struct action *a = &undone.list[i];

        if (a->kind == ACTION_TELL && a->child == core && a->body == body && a->device == device)
            return true;
    }
    return false;
}
