/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - what can be set while the VM runs, rate limits and the balloon's size, reaches each
 * worker: it is in the configuration that a worker starts with, and who was configured before the
 * change and serves the device since then is told. */
#include "config/config.h"
#include "vm.h"

static int send_limit(struct child *worker)
{
    struct device *d = worker->device;
    const Bulkhead__VmConfig *config = d->vm->config;
    Bulkhead__RateLimitGroup *group = d->plan->role == BULKHEAD__ROLE__ROLE_BLK
                                          ? config_disk_group(config, config->disks[d->plan->index])
                                          : NULL;
    Bulkhead__SetRateLimit set = BULKHEAD__SET_RATE_LIMIT__INIT;
    ENVELOPE(e, SET_RATE_LIMIT, set_rate_limit, &set);

    set.limit = group ? group->limit : d->rate_limit;
    return child_send(worker, &e, NULL, 0);
}

static int send_target(struct child *worker)
{
    Bulkhead__BalloonTarget target = BULKHEAD__BALLOON_TARGET__INIT;
    ENVELOPE(e, BALLOON_TARGET, balloon_target, &target);

    target.size = worker->device->balloon_bytes;
    return child_send(worker, &e, NULL, 0);
}

void settings_tell(struct device *d)
{
    struct child *w = d->worker;
    int r;

    if (!w || w->settings == d->settings || w->state < CHILD_READY || w->state > CHILD_QUIESCED)
        return;
    r = d->plan->role == BULKHEAD__ROLE__ROLE_BALLOON ? send_target(w) : send_limit(w);
    if (r == 0)
        w->settings = d->settings;
}

void settings_changed(struct device *d)
{
    d->settings++;
    settings_tell(d);
}
