/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - see device.h. */
#include "vm/device.h"

#include <string.h>
#include "base/compiler.h"

void device_init(struct device *d, unsigned number, const struct plan_device *plan)
{
    memset(d, 0, sizeof *d);
    d->number = number;
    d->here = true;
    d->plan = plan;
}

void device_unboot(struct device *d)
{
    d->announced = d->attached = d->active = d->touched = d->reset_wanted = false;
    d->needs_reset_due = d->failed = d->by_hand = d->vacated = d->candidate_lost = d->for_all =
        d->gone = d->removal_told = false;
    d->updates = d->n_deaths = d->retries = d->n_queues = 0;
    d->guest_features = 0; /* of other devices than the next boot's, which may offer less */
    d->retry_ns = 0;
    d->for_core = d->for_worker = (struct dirty){ 0 };
    d->passt_lost = d->passt_failed = d->passt_settled = false;
    d->stage = STAGE_NONE;
}

void device_deinit(struct device *d)
{
    if (d->rate_limit)
        bulkhead__rate_limit__free_unpacked(d->rate_limit, NULL);
    d->rate_limit = NULL;
}

void device_enter(struct device *d, enum stage stage, uint64_t now)
{
    d->stage = stage;
    d->stage_ns = now;
}

bool device_is_pci(const struct device *d)
{
    return d->plan->pci_slot != 0;
}

bool device_is_exclusive(const struct device *d)
{
    return d->plan->role == BULKHEAD__ROLE__ROLE_CONSOLE ||
           d->plan->role == BULKHEAD__ROLE__ROLE_VSOCK;
}

bool device_fails_by_worker(const struct device *d)
{
    return d->plan->role == BULKHEAD__ROLE__ROLE_BLK;
}

bool device_in_transit(const struct device *d)
{
    return d->stage != STAGE_SERVED && d->stage != STAGE_DEAD;
}

void device_add_dirty(struct dirty *dirty, size_t from, size_t to)
{
    if (dirty->from != dirty->to) {
        from = MIN(from, dirty->from);
        to = MAX(to, dirty->to);
    }
    *dirty = (struct dirty){ .from = from, .to = to };
}

bool device_write_config(struct device *d, size_t offset, const uint8_t *data, size_t len)
{
    if (offset > d->config_len || len > d->config_len - offset)
        return false;
    memcpy(d->config + offset, data, len);
    return true;
}

unsigned device_list_queues(const struct device *d, Bulkhead__QueueState *states,
                            Bulkhead__QueueState **list)
{
    for (unsigned i = 0; i < d->n_queues; i++) {
        bulkhead__queue_state__init(&states[i]);
        states[i].index = d->queues[i].index;
        states[i].size = d->queues[i].size;
        states[i].desc = d->queues[i].desc;
        states[i].avail = d->queues[i].avail;
        states[i].used = d->queues[i].used;
        list[i] = &states[i];
    }
    return d->n_queues;
}
