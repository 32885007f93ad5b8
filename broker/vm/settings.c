/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - see settings.h. */
#include "vm/settings.h"

#include "base/compiler.h"
#include "config/group.h"

static void replace(Bulkhead__RateLimit **place, Bulkhead__RateLimit *limit)
{
    if (*place)
        bulkhead__rate_limit__free_unpacked(*place, NULL);
    *place = limit;
}

void settings_limit(struct vm *vm, struct device *d, Bulkhead__RateLimit *limit)
{
    (void)vm;
    replace(&d->rate_limit, limit);
    d->settings++;
}

void settings_group_limit(struct vm *vm, Bulkhead__RateLimitGroup *group,
                          Bulkhead__RateLimit *limit)
{
    replace(&group->limit, limit);
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        if (d->here && d->plan->role == BULKHEAD__ROLE__ROLE_BLK &&
            group_of_disk(vm->config, vm->config->disks[d->plan->index]) == group)
            d->settings++;
    }
}

void settings_balloon(struct device *d, uint64_t bytes)
{
    d->balloon_bytes = bytes;
    d->settings++;
}

bool settings_settle(struct vm *vm, struct device *d)
{
    Bulkhead__Envelope__BodyCase body = d->plan->role == BULKHEAD__ROLE__ROLE_BALLOON
                                            ? BULKHEAD__ENVELOPE__BODY_BALLOON_TARGET
                                            : BULKHEAD__ENVELOPE__BODY_SET_RATE_LIMIT;
    struct child *w = vm_worker(vm, d);
    struct action *a;

    if (!w || w->settings == d->settings || !child_is_live(w) ||
        !child_tell(w, &vm->actions, body, vm->now, &a))
        return false;
    w->settings = d->settings;
    return true;
}
