/* SPDX-License-Identifier: Apache-2.0 */
/* devices.c - see devices.h. */
#include "hostd/rules/devices.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "config/config.h"
#include "config/merge.h"
#include "hostd/rules/names.h"

/* ---- descriptions ---- */

static bool find(const Bulkhead__VmConfig *c, const char *id, Bulkhead__Role *ret_role,
                 unsigned *ret_index)
{
    for (unsigned i = 0; i < c->n_disks; i++)
        if (strcmp(c->disks[i]->id, id) == 0) {
            *ret_role = BULKHEAD__ROLE__ROLE_BLK;
            *ret_index = i;
            return true;
        }
    for (unsigned i = 0; i < c->n_nets; i++)
        if (strcmp(c->nets[i]->id, id) == 0) {
            *ret_role = BULKHEAD__ROLE__ROLE_NET;
            *ret_index = i;
            return true;
        }
    return false;
}

static int check_one(const Bulkhead__VmSpec *spec, size_t number, struct fault *f)
{
    const char *id = spec->on_request[number];
    const Bulkhead__VmConfig *c = spec->config;
    char shown[NAMES_SHOWN_BYTES];
    Bulkhead__Role role;
    unsigned index;

    names_show(id, shown);
    for (size_t i = 0; i < number; i++)
        if (strcmp(spec->on_request[i], id) == 0)
            return fault_input(f, "on_request: '%s' is named twice", shown);
    if (!find(c, id, &role, &index))
        return fault_input(f, "on_request: '%s' is no disk or network of the VM: describe it there",
                           shown);
    if (role == BULKHEAD__ROLE__ROLE_NET && strcmp(c->nets[index]->mode, "user") == 0)
        return fault_input(f,
                           "on_request: %s: a user network can't be given by the service: use "
                           "a tap",
                           shown);
    return 0;
}

int devices_check(const Bulkhead__VmSpec *spec, const Bulkhead__Tenant *tenant, struct fault *f)
{
    if (spec->n_on_request > 0 &&
        tenant->host) /* its files are opened with the service's own rights: config/allowed.h */
        return fault_input(
            f, "on_request: the host's own VMs are given no device by the service: have "
               "it be another tenant's, or use `bulkhead add`");
    if (spec->n_on_request > DEVICES_MAX_ON_REQUEST)
        return fault_input(f, "on_request: %zu devices are over the limit: name at most %d",
                           spec->n_on_request, DEVICES_MAX_ON_REQUEST);
    if (spec->n_on_request > 0 && !spec->config->vsock->enabled)
        return fault_input(f, "on_request: the VM has no vsock, over which its guest would ask: "
                              "give it one");
    for (size_t i = 0; i < spec->n_on_request; i++)
        if (check_one(spec, i, f) < 0)
            return -EINVAL;
    return 0;
}

Bulkhead__VmConfig *devices_at_start(const Bulkhead__VmSpec *spec)
{
    Bulkhead__VmConfig *c = config_copy(spec->config);
    Bulkhead__Role role;
    unsigned index;

    for (size_t i = 0; c && i < spec->n_on_request; i++)
        if (find(c, spec->on_request[i], &role, &index))
            config_remove(c, role, index);
    return c;
}

bool devices_find(const Bulkhead__VmSpec *spec, const char *id, Bulkhead__VmConfig *ret_one)
{
    const Bulkhead__VmConfig *c = spec->config;
    Bulkhead__Role role;
    unsigned index;

    for (size_t i = 0; i < spec->n_on_request; i++) {
        if (strcmp(spec->on_request[i], id) != 0 || !find(c, id, &role, &index))
            continue;
        bulkhead__vm_config__init(ret_one);
        ret_one->disks = &c->disks[role == BULKHEAD__ROLE__ROLE_BLK ? index : 0];
        ret_one->n_disks = role == BULKHEAD__ROLE__ROLE_BLK;
        ret_one->nets = &c->nets[role == BULKHEAD__ROLE__ROLE_NET ? index : 0];
        ret_one->n_nets = role == BULKHEAD__ROLE__ROLE_NET;
        return true;
    }
    return false;
}

/* ---- VMs ---- */

bool devices_ask(struct host *host, struct host_vm *vm, const char *id, bool back,
                 const struct host_ticket *ticket, struct fault *f)
{
    char shown[NAMES_SHOWN_BYTES];
    Bulkhead__VmConfig one;
    struct host_action *a;

    if (!devices_find(vm->spec, id, &one)) {
        fault_input(f, "'%s' is no device that this VM may ask for", names_show(id, shown));
        f->error = ENOENT;
        return false;
    }
    if (vm->life != LIFE_RUNNING || !vm->joined || vm->moving != MOVING_NONE ||
        !host_may_ask(host)) {
        fault_host(f, EAGAIN, "another device is on its way, or the VM's broker is: try again");
        return false;
    }
    vm->moving = back ? MOVING_BACK : MOVING_THERE;
    vm->moving_for = *ticket;
    vm->moving_ns = host->now;
    snprintf(vm->device, sizeof vm->device, "%s", id);
    if (!back) {
        host_ask(host, ASK_GIVE, CHANNEL_NONE, vm, NULL);
        return true;
    }
    a = host_action_add(&host->actions, HOST_TELL);
    a->vm = vm->serial;
    a->body = BULKHEAD__CLIENT_ENVELOPE__BODY_REMOVE_DEVICE;
    return true;
}

void devices_done(struct host *host, struct host_vm *vm, const struct fault *fault)
{
    enum moving moving = vm->moving;

    if (moving == MOVING_NONE)
        return;
    vm->moving = MOVING_NONE;
    vm->moving_ns = 0;
    if (moving == MOVING_THERE)
        host_action_add(&host->actions, HOST_DROP_LAUNCH)->vm = vm->serial;
    if (fault->error != 0)
        host_notice(host, vm, moving == MOVING_THERE ? "not_given" : "not_given_back", "%s: %s",
                    vm->device, fault->text);
    host_reply(host, &vm->moving_for, fault);
}
