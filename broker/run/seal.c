/* SPDX-License-Identifier: Apache-2.0 */
/* seal.c - what this VM may start, told to the spawner before the broker's sandbox. */
#include "run/seal.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "config/checks.h"
#include "config/hostfwd.h"
#include "sandbox/ring.h"

static void set_limits(const struct instance *in, Bulkhead__Role role, uint64_t cache_bytes,
                       struct spawner_slot *slot)
{
    struct sandbox_cgroup_limits limits;

    plan_limits(in->config, role, cache_bytes, &limits);
    slot->pids_max = (uint32_t)limits.pids_max;
    slot->memory_high = limits.memory_high_bytes;
    slot->memory_max = limits.memory_max_bytes;
}

static enum ring_purpose ring_of(const struct instance *in, unsigned number)
{
    const struct plan_device *device = &in->plan.devices[number];
    const Bulkhead__NetConfig *net;

    if (device->role == BULKHEAD__ROLE__ROLE_BLK) {
        if (in->config->disks[device->index]->disable_io_uring)
            return RING_NONE;
        return in->ends[number].backend.block_device ? RING_BLOCK_DEVICE : RING_DISK;
    }
    if (device->role != BULKHEAD__ROLE__ROLE_NET)
        return RING_NONE;
    net = in->config->nets[device->index];
    return net->disable_io_uring || strcmp(net->mode, "user") == 0 ? RING_NONE : RING_FRAMES;
}

static void set_forwards(const Bulkhead__NetConfig *net, struct spawner_slot *slot)
{
    for (size_t i = 0; i < net->n_hostfwd && slot->n_forwards < SPAWNER_MAX_FORWARDS; i++) {
        struct spawner_forward *to = &slot->forwards[slot->n_forwards];
        struct validate_hostfwd from;
        struct fault unused;

        if (validate_hostfwd(net->hostfwd[i], &from, &unused) < 0)
            continue;
        *to = (struct spawner_forward){ .udp = from.udp,
                                        .host_port = from.host_port,
                                        .guest_port = from.guest_port };
        to->has_address = inet_pton(AF_INET, from.address, &to->address) == 1;
        slot->n_forwards++;
    }
}

void seal_describe_passt(const Bulkhead__NetConfig *net, struct spawner_slot *ret_slot)
{
    *ret_slot = (struct spawner_slot){ .role = BULKHEAD__ROLE__ROLE_PASST, .mtu = net->mtu };
    snprintf(ret_slot->name, sizeof ret_slot->name, "%s-passt", net->id);
    set_forwards(net, ret_slot);
}

static int tell(struct instance *in, unsigned number, Bulkhead__Role role,
                struct spawner_slot *slot)
{
    struct spawner_request request = { .kind = SPAWNER_SLOT, .slot = number };

    slot->role = role;
    request.setup = *slot;
    return spawner_send(in->spawner, &request, NULL, 0);
}

static int tell_role(struct instance *in, unsigned number, Bulkhead__Role role)
{
    struct spawner_slot slot = { 0 };

    snprintf(slot.name, sizeof slot.name, "%s", role_name(role));
    set_limits(in, role, 0, &slot);
    return tell(in, number, role, &slot);
}

static int tell_device(struct instance *in, unsigned number)
{
    const struct plan_device *device = &in->plan.devices[number];
    struct spawner_slot slot = { .ring = ring_of(in, number) }, passt;
    int r;

    snprintf(slot.name, sizeof slot.name, "%s", device->name);
    set_limits(in, device->role, device->cache_bytes, &slot);
    r = tell(in, device->uid_slot, device->role, &slot);
    if (r < 0 || device->passt_uid_slot == 0)
        return r;
    seal_describe_passt(in->config->nets[device->index], &passt);
    set_limits(in, BULKHEAD__ROLE__ROLE_PASST, 0, &passt);
    return tell(in, device->passt_uid_slot, BULKHEAD__ROLE__ROLE_PASST, &passt);
}

int seal_spawner(struct instance *in, struct fault *f)
{
    struct spawner_request seal = { .kind = SPAWNER_SEAL,
                                    .limit = in->kept ? in->config->crash_limit : 0,
                                    .window_s = in->config->crash_window_s };
    int r = tell_role(in, PLAN_UID_CORE, BULKHEAD__ROLE__ROLE_CORE);

    if (r == 0)
        r = tell_role(in, PLAN_UID_LOADER, BULKHEAD__ROLE__ROLE_LOADER);
    for (unsigned i = 0; r == 0 && i < in->n_ends; i++)
        r = tell_device(in, i);
    if (r == 0)
        r = spawner_send(in->spawner, &seal, NULL, 0);
    in->sealed = r == 0;
    return r < 0 ? fault_host(f, r, "the spawner: %s", err_text()) : 0;
}

int seal_add(struct instance *in, unsigned number, struct fault *f)
{
    int r = tell_device(in, number);

    return r < 0 ? fault_host(f, r, "the spawner: %s", err_text()) : 0;
}

static void free_slot(struct instance *in, unsigned slot)
{
    struct spawner_request request = { .kind = SPAWNER_FREE, .slot = slot };

    if (spawner_send(in->spawner, &request, NULL, 0) < 0)
        log_debug("%s", err_text());
}

void seal_free(struct instance *in, unsigned number)
{
    const struct plan_device *device = &in->plan.devices[number];

    free_slot(in, device->uid_slot);
    if (device->passt_uid_slot != 0)
        free_slot(in, device->passt_uid_slot);
}
