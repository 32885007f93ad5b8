/* SPDX-License-Identifier: Apache-2.0 */
/* add.c - see add.h. */
#include "run/add.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "config/checks.h"
#include "config/config.h"
#include "config/merge.h"
#include "devices/handed.h"
#include "devices/net.h"
#include "plan/identity.h"
#include "run/keeper.h"
#include "run/seal.h"
#include "run/shape.h"
#include "vm/hotplug.h"

static bool is_user_net(const Bulkhead__VmConfig *c, Bulkhead__Role role, unsigned index)
{
    return role == BULKHEAD__ROLE__ROLE_NET && strcmp(c->nets[index]->mode, "user") == 0;
}

/* What the broker would have to get after it has given up the right to, and what its spawner lacks: both have
 * opened their programs at the VM's start. */
static int check_kind(const struct instance *in, const Bulkhead__VmConfig *c, Bulkhead__Role role,
                      unsigned index, struct fault *f)
{
    if (role == BULKHEAD__ROLE__ROLE_CONSOLE &&
        c->console->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY)
        return fault_input(f, "a console at a terminal can't be added to a VM that runs: use pty, "
                              "file=, socket= or null");
    if (is_user_net(c, role, index) && host_check(c, &in->host, f) < 0)
        return -EPERM;
    return is_user_net(c, role, index) &&
                   programs_fd(&in->programs, BULKHEAD__ROLE__ROLE_PASST, f) < 0
               ? -ENOENT
               : 0;
}

static int check_room(const struct instance *in, const Bulkhead__VmConfig *c, Bulkhead__Role role,
                      unsigned index, struct fault *f)
{
    struct plan plan = in->plan;

    if (plan_add(&plan, c, role, index) < 0)
        return fault_input(f, "the VM is full: remove a device first");
    if (in->max_files != 0 && plan_files(&plan) > in->max_files)
        return fault_input(f,
                           "the VM would need up to %u open files, and its limit is %u: start it "
                           "with a higher one (ulimit -Hn, LimitNOFILE=)",
                           plan_files(&plan), in->max_files);
    /* With all that is written down of it. */
    if (bulkhead__vm_config__get_packed_size(c) > SHAPE_MAX_BYTES / 2)
        return fault_input(f, "the VM's configuration would be too long: use shorter paths");
    return 0;
}

int add_check(struct instance *in, const Bulkhead__VmConfig *device,
              Bulkhead__VmConfig **ret_config, Bulkhead__Role *ret_role, unsigned *ret_index,
              struct fault *f)
{
    struct validate_host host = { 0 };
    Bulkhead__VmConfig *config, *copy;
    int r = hotplug_check_add(&in->vm, f);

    if (r < 0)
        return r;
    config = config_copy(in->config);
    copy = config_copy(device);
    if (!config || !copy) {
        config_free(config);
        config_free(copy);
        return fault_host(f, ENOMEM, "no memory for the configuration");
    }
    r = config_add(config, copy, ret_role, ret_index, f);
    if (r == 0 && config_fill(config, config->name) < 0)
        r = fault_host(f, ENOMEM, "no memory for the configuration");
    if (r == 0)
        r = check_kind(in, config, *ret_role, *ret_index, f);
    if (r == 0)
        r = validate_config(config, &host, f);
    if (r == 0)
        r = check_room(in, config, *ret_role, *ret_index, f);
    if (r < 0)
        config_free(config);
    else
        *ret_config = config;
    return r;
}

static int check_net(const struct instance *in, const Bulkhead__NetConfig *net,
                     const struct backend *b, struct fault *f)
{
    if (handed_check_net(net, b, f) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < in->n_ends; i++)
        if (in->plan.devices[i].role == BULKHEAD__ROLE__ROLE_NET && !in->vm.devices[i].is_user &&
            resources_net_same(&in->ends[i].backend, b))
            return fault_input(f, "%s and %s use the same interface: give each its own",
                               in->plan.devices[i].name, net->id);
    return 0;
}

static int check_backend(const struct instance *in, const Bulkhead__VmConfig *c,
                         Bulkhead__Role role, unsigned index, const struct backend *b,
                         struct fault *f)
{
    if (b->held[1] >= 0 && role != BULKHEAD__ROLE__ROLE_NET)
        return fault_input(f, "the device needs fewer descriptors");
    switch ((int)role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        return handed_check_disk(c->disks[index], b, f);
    case BULKHEAD__ROLE__ROLE_NET:
        return check_net(in, c->nets[index], b, f);
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return handed_check_console(c->console, b, f);
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return handed_check_socket(c->vsock->id, b, f);
    default:
        return b->n_own == 0 && b->held[0] < 0 ? 0
                                               : fault_input(f, "a balloon needs no descriptors");
    }
}

/* From here on all of it is there, and add_undo() is what takes it away. */
static unsigned take_place(struct instance *in, Bulkhead__VmConfig *config, Bulkhead__Role role,
                           unsigned index, struct backend *b)
{
    int number;

    config_free(in->config);
    in->config = in->vm.config = config;
    number = plan_add(&in->plan, config, role, index); /* check_room() has tried it */
    vm_take_place(&in->vm, (unsigned)number);
    instance_begin_device(in, (unsigned)number, b);
    return (unsigned)number;
}

int add_take(struct instance *in, const Bulkhead__AddDevice *m, int *fds, size_t n_fds,
             unsigned *ret_number, struct fault *f)
{
    const Bulkhead__Backend empty = BULKHEAD__BACKEND__INIT;
    Bulkhead__VmConfig *config = NULL;
    Bulkhead__Role role;
    struct backend b;
    unsigned index;
    int r = add_check(in, m->device, &config, &role, &index, f);

    if (r < 0)
        return r;
    backend_init(&b);
    r = handed_take(m->backend ? m->backend : &empty, "the device", fds, n_fds, &b, f);
    if (r == 0)
        r = check_backend(in, config, role, index, &b, f);
    if (r == 0 &&
        is_user_net(config, role, index)) /* whose other end is passt's: nobody opens that */
        r = resources_stream(config->nets[index]->id, &b, f);
    if (r == 0)
        r = programs_fd(&in->programs, role, f) < 0 ? -ENOENT : 0;
    if (r < 0) {
        b.made_tap[0] = '\0'; /* it goes when whoever opened it has closed it too */
        backend_deinit(&b);
        config_free(config);
        return r;
    }
    *ret_number = take_place(in, config, role, index, &b);
    r = in->watch_held(in, *ret_number) < 0 ? fault_host(f, ENOMEM, "%s", err_text()) : 0;
    if (r == 0)
        r = instance_make_device(in, *ret_number, f);
    if (r == 0) {
        keeper_add_device(in, *ret_number);
        /* Before the spawner's table has it: a successor would not know what to free. */
        keeper_note(in);
        r = seal_add(in, *ret_number, f);
    }
    if (r < 0)
        add_undo(in, *ret_number);
    return r;
}

void add_undo(struct instance *in, unsigned number)
{
    const struct plan_device was = in->plan.devices[number];

    seal_free(in, number);
    instance_close_device(in, number);
    plan_remove(&in->plan, number);
    config_remove(in->config, was.role, was.index);
    keeper_remove_device(in, number);
}
