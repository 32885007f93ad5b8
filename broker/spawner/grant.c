/* SPDX-License-Identifier: Apache-2.0 */
/* grant.c - see grant.h. */
#include "spawner/grant.h"

#include <errno.h>
#include "base/err.h"
#include "spawner/cgroups.h"
#include "spawner/note.h"
#include "spawner/rings.h"
#include "spawner/slots.h"

/* After the seal of a broker that may have been taken over: no passt by its word alone. */
int grant_slot(struct state *s, const struct spawner_request *request)
{
    bool passt = request->setup.role == BULKHEAD__ROLE__ROLE_PASST;
    int r = 0;

    if (!s->slots.sealed)
        return slots_set(&s->slots, request->slot, &request->setup);
    if (passt && s->terms->no_userns)
        r = err_origin(-EPERM, "passt without a user namespace");
    else if (passt)
        r = note_take(&s->place, &request->setup);
    if (r == 0)
        r = slots_add(&s->slots, request->slot, &request->setup, passt);
    if (r < 0)
        slots_refuse(&s->slots, request->slot);
    return r;
}

int grant_free(struct state *s, uint32_t slot)
{
    int r;

    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && s->children[i].slot == slot)
            return err_origin(-EBUSY, "slot %u is freed, and somebody is in it", slot);
    r = slots_free(&s->slots, slot);
    if (r < 0)
        return r;
    groups_remove(s->groups, s->slots.of[slot].name); /* if that process's end was too near */
    rings_drop_slot(&s->rings, slot);
    return 0;
}
