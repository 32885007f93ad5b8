/* SPDX-License-Identifier: Apache-2.0 */
/* vm_owed.c - see vm_owed.h. */
#include "vm_owed.h"

#include <string.h>
#include "base/compiler.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

/* What is told once, until that is said; NOT_SET: once in a child's life. */
static const struct {
    Bulkhead__Envelope__BodyCase told, said;
} answers[] = {
    { B(ACTIVATE), B(ACTIVATED) },
    { B(RESET), B(RESET_DONE) },
    { B(QUIESCE), B(QUIESCED) },
    { B(PAUSE_VCPUS), B(GUEST_STATE) },
    { B(RESUME_VCPUS), B(GUEST_STATE) },
    { B(RESYNC), B(SNAPSHOT) },
    { B(CONFIGURE), B(_NOT_SET) },
    { B(START), B(_NOT_SET) },
    { B(STOP), B(_NOT_SET) },
};

static struct {
    uint32_t child;
    unsigned owes; /* bits, in the order of the table */
} ledger[VM_MAX_CHILDREN];

static unsigned bit_of(Bulkhead__Envelope__BodyCase told)
{
    for (unsigned i = 0; i < ARRAY_SIZE(answers); i++)
        if (answers[i].told == told)
            return 1u << i;
    return 0;
}

static unsigned *find(uint32_t child)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (ledger[i].child == child)
            return &ledger[i].owes;
    return NULL;
}

static unsigned *find_or_add(const struct vm *vm, uint32_t child)
{
    unsigned *owes = find(child);

    for (unsigned i = 0; i < VM_MAX_CHILDREN && !owes; i++) {
        if (vm_look(vm, ledger[i].child))
            continue;
        ledger[i].child = child;
        ledger[i].owes = 0;
        owes = &ledger[i].owes;
    }
    return owes;
}

void owed_clear(void)
{
    memset(ledger, 0, sizeof ledger);
}

bool owed_told(const struct vm *vm, uint32_t child, Bulkhead__Envelope__BodyCase body)
{
    bool quiet = body == B(QUIESCE) || body == B(UNQUIESCE);
    unsigned bit = bit_of(body), *owes;

    if (!vm_look(vm, child)) /* it was told, and then forgotten */
        return true;
    owes = find_or_add(vm, child);
    if (!owes || (*owes & bit) || (quiet && (*owes & bit_of(B(RESET)))))
        return false;
    *owes |= bit;
    return true;
}

bool owed_by(uint32_t child, Bulkhead__Envelope__BodyCase body)
{
    const unsigned *owes = find(child);

    return owes && (*owes & bit_of(body));
}

static bool is_answer(unsigned i, const Bulkhead__Envelope *e)
{
    if (answers[i].told == B(PAUSE_VCPUS))
        return e->guest_state->state == BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED;
    if (answers[i].told == B(RESUME_VCPUS))
        return e->guest_state->state == BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING;
    return true;
}

void owed_said(uint32_t child, const Bulkhead__Envelope *e)
{
    unsigned *owes = find(child);

    for (unsigned i = 0; owes && i < ARRAY_SIZE(answers); i++)
        if (answers[i].said == e->body_case && e->body_case != B(_NOT_SET) && is_answer(i, e))
            *owes &= ~(1u << i);
    if (owes && e->body_case == B(RESET_DONE)) /* whoever is honest has said that before */
        *owes &= ~bit_of(B(QUIESCE));
}

void owed_adopted(void)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        ledger[i].owes &= ~(bit_of(B(RESYNC)) | bit_of(B(RESUME_VCPUS)));
}
