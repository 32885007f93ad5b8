/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c - see shape.h. */
#include "run/shape.h"

#include <errno.h>
#include <string.h>
#include "base/compiler.h"
#include "base/err.h"
#include "config/checks.h"
#include "config/config.h"
#include "config/merge.h"
#include "devices/handed.h"
#include "keep.pb-c.h"

/* ---- writing ---- */

static void describe(struct instance *in, unsigned number, Bulkhead__Place *place,
                     Bulkhead__Backend *backend)
{
    const struct plan_device *device = &in->plan.devices[number];
    int unused[HANDED_MAX_FDS];

    bulkhead__place__init(place);
    place->role = device->role;
    place->index = device->index;
    place->pci_slot = device->pci_slot;
    if (plan_is_free(device) || !in->ends[number].was_added)
        return;
    place->passt_uid_slot = device->passt_uid_slot;
    handed_give(&in->ends[number].backend, backend, unused);
    place->backend = backend;
}

size_t shape_store(struct instance *in, uint8_t *bytes)
{
    Bulkhead__Place places[PLAN_MAX_DEVICES], *list[PLAN_MAX_DEVICES];
    Bulkhead__Backend backends[PLAN_MAX_DEVICES];
    Bulkhead__Shape shape = BULKHEAD__SHAPE__INIT;

    shape.config = in->config;
    shape.places = list;
    shape.n_places = in->plan.n_devices;
    for (unsigned i = 0; i < in->plan.n_devices; i++) {
        list[i] = &places[i];
        describe(in, i, list[i], &backends[i]);
    }
    if (bulkhead__shape__get_packed_size(&shape) > SHAPE_MAX_BYTES)
        return 0;
    return bulkhead__shape__pack(&shape, bytes);
}

/* ---- reading ---- */

static int wrong(const char *what, unsigned number)
{
    return err_origin(-EBADMSG, "the devices that the broker before wrote down: %s %u", what,
                      number);
}

static int take_config(struct instance *in, Bulkhead__VmConfig *config)
{
    const struct validate_host host = { 0 };
    struct fault f;

    if (config_fill(config, in->config->name) < 0)
        return err_origin(-ENOMEM, "the configuration");
    config_swap_devices(in->config, config);
    if (validate_config(in->config, &host, &f) < 0)
        return err_origin(-EBADMSG, "the devices that the broker before wrote down: %s", f.text);
    return 0;
}

/* What starts in that slot, with which ports, was never this one's to say: the spawner knows. */
static int take_passt(struct plan *plan, unsigned number, unsigned uid_slot)
{
    return uid_slot == 0 || plan_take_passt(plan, number, uid_slot) ? 0 : -1;
}

/* Of those of the VM's start only the index can be another. */
static int take_old(const struct plan *sealed, struct plan *plan, const Bulkhead__VmConfig *c,
                    const Bulkhead__Place *place, unsigned number)
{
    const struct plan_device *was = &sealed->devices[number];

    if (number >= sealed->n_devices || was->role != place->role || was->pci_slot != place->pci_slot)
        return -1;
    if (was->pci_slot == 0) { /* the serial port */
        plan->devices[number] = *was;
        plan->n_devices = number + 1;
        plan->serial = true;
        return 0;
    }
    if (plan_add_at(plan, c, was->role, place->index, number, was->pci_slot) < 0)
        return -1;
    return take_passt(plan, number, was->passt_uid_slot);
}

static int take_added(struct plan *plan, const Bulkhead__VmConfig *c, const Bulkhead__Place *place,
                      unsigned number)
{
    if (plan_add_at(plan, c, place->role, place->index, number, place->pci_slot) < 0)
        return -1;
    return take_passt(plan, number, place->passt_uid_slot);
}

/* A user network has passt, and nothing else has. */
static bool passt_fits(const struct plan_device *device, const Bulkhead__VmConfig *c)
{
    bool is_user = device->role == BULKHEAD__ROLE__ROLE_NET &&
                   strcmp(c->nets[device->index]->mode, "user") == 0;

    return is_user == (device->passt_uid_slot != 0);
}

static int take_places(struct instance *in, const Bulkhead__Shape *shape, struct plan *plan)
{
    for (unsigned i = 0; i < shape->n_places; i++) {
        const Bulkhead__Place *place = shape->places[i];
        int r = 0;

        if (place->role == BULKHEAD__ROLE__ROLE_NONE)
            plan->n_devices = i + 1;
        else if (place->backend)
            r = take_added(plan, in->config, place, i);
        else
            r = take_old(&in->plan, plan, in->config, place, i);
        if (r < 0 || !passt_fits(&plan->devices[i], in->config))
            return wrong("place", i);
    }
    return plan->serial == in->plan.serial ? 0 : wrong("serial ports", plan->serial);
}

static int take_backends(struct instance *in, const Bulkhead__Shape *shape)
{
    for (unsigned i = 0; i < shape->n_places; i++) {
        struct backend b;
        struct fault f;

        if (i == in->n_ends)
            instance_add_ends(in);
        if (!shape->places[i]->backend)
            continue;
        backend_init(&b);
        if (handed_read(shape->places[i]->backend, in->plan.devices[i].name, &b, &f) < 0)
            return err_origin(-EBADMSG, "%s", f.text);
        b.n_own = shape->places[i]->backend->own;
        instance_begin_device(in, i, &b);
    }
    return 0;
}

int shape_load(struct instance *in, const uint8_t *bytes, size_t len)
{
    Bulkhead__Shape *shape = bulkhead__shape__unpack(NULL, len, bytes);
    struct plan plan = { 0 };
    int r = 0;

    if (!shape || !shape->config || shape->n_places > PLAN_MAX_DEVICES ||
        shape->n_places < in->plan.n_devices)
        r = wrong("the message of bytes", (unsigned)len);
    if (r == 0)
        r = take_config(in, shape->config);
    if (r == 0)
        r = take_places(in, shape, &plan);
    if (r == 0) {
        in->plan = plan;
        instance_plan_again(in);
        r = take_backends(in, shape);
    }
    if (shape)
        bulkhead__shape__free_unpacked(shape, NULL);
    return r < 0 ? err_trace(r) : 0;
}
