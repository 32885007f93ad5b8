/* SPDX-License-Identifier: Apache-2.0 */
/* slots.c - see slots.h. */
#include "spawner/slots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "plan/plan.h"
#include "sandbox/cgroup.h"
#include "sandbox/ring.h"

bool slots_is_device(const struct spawner_slot *slot)
{
    return slot->role >= BULKHEAD__ROLE__ROLE_BLK && slot->role <= BULKHEAD__ROLE__ROLE_BALLOON;
}

static bool role_fits(uint32_t slot, const struct spawner_slot *setup)
{
    switch (slot) {
    case PLAN_UID_CORE:
        return setup->role == BULKHEAD__ROLE__ROLE_CORE;
    case PLAN_UID_LOADER:
        return setup->role == BULKHEAD__ROLE__ROLE_LOADER;
    default:
        if (slot >= PLAN_UID_PASST)
            return setup->role == BULKHEAD__ROLE__ROLE_PASST;
        return slot < PLAN_UID_FIRST_DEVICE + PLAN_MAX_DEVICES && slots_is_device(setup);
    }
}

/* A folder's name in the VM's cgroup, and of no other slot. */
static bool name_fits(const struct slots *slots, const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strnlen(name, SPAWNER_NAME_BYTES);

    if (len == 0 || len == SPAWNER_NAME_BYTES || name[0] == '.' || strspn(name, allowed) != len ||
        sandbox_cgroup_is_kernels(name))
        return false;
    for (unsigned i = 0; i < SPAWNER_MAX_SLOTS; i++)
        if (slots->known[i] && strcmp(slots->of[i].name, name) == 0)
            return false;
    return true;
}

static bool ring_fits(const struct spawner_slot *setup)
{
    return setup->ring == RING_NONE ||
           (ring_is_disks((enum ring_purpose)setup->ring) &&
            setup->role == BULKHEAD__ROLE__ROLE_BLK) ||
           (setup->ring == RING_FRAMES && setup->role == BULKHEAD__ROLE__ROLE_NET);
}

static bool forwards_fit(const struct spawner_slot *setup)
{
    if (setup->n_forwards > SPAWNER_MAX_FORWARDS ||
        (setup->n_forwards > 0 && setup->role != BULKHEAD__ROLE__ROLE_PASST))
        return false;
    for (unsigned i = 0; i < setup->n_forwards; i++) {
        const struct spawner_forward *f = &setup->forwards[i];

        if (f->host_port == 0 || f->guest_port == 0 || f->udp > 1 || f->has_address > 1)
            return false;
    }
    return true;
}

static bool mtu_fits(const struct spawner_slot *setup)
{
    return setup->mtu == 0 || (setup->role == BULKHEAD__ROLE__ROLE_PASST &&
                               setup->mtu >= SPAWNER_MTU_MIN && setup->mtu <= SPAWNER_MTU_MAX);
}

/* Devices alone have both, and with a maximum that is not above it a worker is not made to wait. */
static bool memory_fits(const struct spawner_slot *setup)
{
    return setup->memory_high == 0 ||
           (slots_is_device(setup) && setup->memory_max > setup->memory_high);
}

static int put(struct slots *slots, uint32_t slot, const struct spawner_slot *setup)
{
    const char *what = NULL;

    if (slot >= SPAWNER_MAX_SLOTS || slots->known[slot])
        return err_origin(-EINVAL, "slot %u is out of range or taken", slot);
    if (!role_fits(slot, setup))
        what = "role";
    else if (!name_fits(slots, setup->name))
        what = "name";
    else if (!ring_fits(setup))
        what = "ring";
    else if (setup->pids_max == 0 || setup->pids_max > SPAWNER_MAX_PIDS)
        what = "limit of processes";
    else if (!memory_fits(setup))
        what = "limit of memory";
    else if (!forwards_fit(setup))
        what = "list of ports";
    else if (!mtu_fits(setup))
        what = "MTU";
    if (what)
        return err_origin(-EINVAL, "slot %u can't have that %s", slot, what);
    slots->of[slot] = *setup;
    slots->known[slot] = true;
    return 0;
}

int slots_set(struct slots *slots, uint32_t slot, const struct spawner_slot *setup)
{
    return slots->sealed ? err_origin(-EPERM, "slot %u after the seal", slot)
                         : put(slots, slot, setup);
}

static bool is_passt(const struct spawner_slot *slot)
{
    return slot->role == BULKHEAD__ROLE__ROLE_PASST;
}

int slots_add(struct slots *slots, uint32_t slot, const struct spawner_slot *setup, bool asked)
{
    struct spawner_slot own = *setup;
    Bulkhead__Role role = (Bulkhead__Role)setup->role;
    uint64_t core_memory = slots->of[PLAN_UID_CORE].memory_max;

    /* passt has the host's network, and ports of the host: none that no user wants. */
    if (!slots->sealed || !(slots_is_device(setup) || (is_passt(setup) && asked)))
        return err_origin(-EPERM, "slot %u after the seal, for what is not a device's worker",
                          slot);
    if (is_passt(setup)) {
        own.memory_high = 0;
        own.memory_max = core_memory;
    } else {
        own.memory_high = plan_writes_files(role) ? setup->memory_high : core_memory;
        own.memory_max = plan_memory_max(own.memory_high);
    }
    own.pids_max = PLAN_SPARE_THREADS + (role == BULKHEAD__ROLE__ROLE_BLK ? PLAN_IO_THREADS : 0);
    return put(slots, slot, &own);
}

void slots_refuse(struct slots *slots, uint32_t slot)
{
    slots->refused = slot;
    snprintf(slots->why, sizeof slots->why, "%s", err_text());
}

const char *slots_why(const struct slots *slots, uint32_t slot)
{
    return slot < SPAWNER_MAX_SLOTS && slot == slots->refused && !slots->known[slot] &&
                   slots->why[0] != '\0'
               ? slots->why
               : NULL;
}

int slots_free(struct slots *slots, uint32_t slot)
{
    if (!slots->sealed || slot >= SPAWNER_MAX_SLOTS || !slots->known[slot] ||
        !(slots_is_device(&slots->of[slot]) || is_passt(&slots->of[slot])))
        return err_origin(-EPERM, "slot %u is not a device's, to be freed", slot);
    slots->known[slot] = false;
    return 0;
}

const struct spawner_slot *slots_find(const struct slots *slots, uint32_t slot)
{
    if (slots->sealed && slot < SPAWNER_MAX_SLOTS && slots->known[slot])
        return &slots->of[slot];
    err_origin(-EPERM, slots->sealed ? "slot %u is empty" : "a start of slot %u before the seal",
               slot);
    return NULL;
}

int slots_check_uid(const struct slots *slots, uint32_t slot, uint32_t uid_slot)
{
    bool fits = is_passt(&slots->of[slot]) ? uid_slot == slot : uid_slot < PLAN_UID_BROKER;

    return fits ? 0 : err_origin(-EPERM, "slot %u with the uid of slot %u", slot, uid_slot);
}
