/* SPDX-License-Identifier: Apache-2.0 */
/* configure.c - the one message that gives a child all it will ever have. The order of the
 * descriptors is docs/protocol.md's "Descriptor order". */
#include <string.h>
#include "base/err.h"
#include "config/config.h"
#include "vm.h"

struct fd_list {
    int fds[CHANNEL_MAX_FDS];
    size_t n;
};

static void add_fd(struct fd_list *list, int fd)
{
    if (list->n < CHANNEL_MAX_FDS)
        list->fds[list->n++] = fd;
}

static void configure_loader(struct child *child, Bulkhead__Configure *c,
                             Bulkhead__LoaderConfig *loader, struct fd_list *list)
{
    struct vm *vm = child->vm;

    loader->cmdline = vm->config->cmdline;
    loader->vcpus = vm->config->cpus->boot_vcpus;
    loader->has_initramfs = vm->initramfs_fd >= 0;
    loader->pci_slots = vm->plan.pci_slots;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_LOADER;
    c->loader = loader;
    c->ram_size = vm->config->memory->size;
    add_fd(list, vm->ram_fd);
    add_fd(list, vm->kernel_fd);
    if (vm->initramfs_fd >= 0)
        add_fd(list, vm->initramfs_fd);
}

static struct device *serial_device(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].plan->pci_slot == 0)
            return &vm->devices[i];
    return NULL;
}

static void configure_core(struct child *child, Bulkhead__Configure *c, Bulkhead__CoreConfig *core,
                           struct fd_list *list)
{
    struct vm *vm = child->vm;
    struct device *serial = serial_device(vm);

    core->vcpus = vm->config->cpus->boot_vcpus;
    core->serial = serial != NULL;
    core->thp = vm->config->memory->thp;
    core->nested = vm->config->cpus->nested;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_CORE;
    c->core = core;
    c->ram_size = vm->config->memory->size;
    add_fd(list, vm->ram_fd);
    add_fd(list, vm->kvm_fd);
    add_fd(list, vm->life_write);
    for (unsigned i = 0; serial && i < ARRAY_SIZE(serial->shared_own); i++)
        add_fd(list, serial->shared_own[i]);
}

static void configure_blk(struct device *d, Bulkhead__Configure *c, Bulkhead__BlkConfig *blk)
{
    const Bulkhead__DiskConfig *disk = d->vm->config->disks[d->plan->index];
    const Bulkhead__RateLimitGroup *group = config_disk_group(d->vm->config, disk);

    blk->size = d->backend.size_bytes;
    blk->block_size = d->backend.block_size;
    blk->physical_block_exp = d->backend.physical_block_exp;
    blk->direct_align = d->backend.direct_align;
    blk->range_align = d->backend.range_align;
    blk->readonly = disk->readonly;
    blk->direct = disk->direct;
    blk->block_device = d->backend.block_device;
    blk->use_io_uring = !disk->disable_io_uring;
    blk->discard = d->backend.discard;
    blk->serial = disk->serial;
    blk->rate_limit = group ? group->limit : d->rate_limit ? d->rate_limit : disk->rate_limit;
    blk->rate_limit_group = group != NULL;
    blk->fail_all = d->failed;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_BLK;
    c->blk = blk;
}

static void configure_console(struct device *d, Bulkhead__Configure *c,
                              Bulkhead__ConsoleWorkerConfig *console)
{
    const Bulkhead__VmConfig *config = d->vm->config;
    const Bulkhead__ConsoleConfig *from = d->plan->pci_slot ? config->console : config->serial;

    console->virtio = d->plan->pci_slot != 0;
    console->mode = from->mode;
    console->escape = d->backend.keys;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_CONSOLE;
    c->console = console;
}

static void configure_net(struct device *d, Bulkhead__Configure *c, Bulkhead__NetWorkerConfig *net)
{
    const Bulkhead__NetConfig *from = d->vm->config->nets[d->plan->index];

    net->mac = from->mac;
    net->mtu = from->mtu;
    net->queue_pairs = from->num_queues / 2;
    net->stream = strcmp(from->mode, "user") == 0;
    net->mac_filter = from->mac_filter;
    net->offload_tso = from->offload_tso && !net->stream;
    net->offload_ufo = from->offload_ufo && !net->stream;
    net->offload_csum = from->offload_csum && !net->stream;
    net->rate_limit = d->rate_limit ? d->rate_limit : from->rate_limit;
    net->link_down = !netdev_link_wanted(d);
    net->use_io_uring = !from->disable_io_uring;
    net->tap_offloads = d->backend.tap_offloads;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_NET;
    c->net = net;
}

union worker_config {
    Bulkhead__BlkConfig blk;
    Bulkhead__ConsoleWorkerConfig console;
    Bulkhead__NetWorkerConfig net;
    Bulkhead__VsockWorkerConfig vsock;
    Bulkhead__BalloonWorkerConfig balloon;
};

static void configure_role(struct child *child, Bulkhead__Configure *c, union worker_config *u)
{
    struct device *d = child->device;
    const Bulkhead__VmConfig *config = d->vm->config;

    switch ((int)d->plan->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        bulkhead__blk_config__init(&u->blk);
        configure_blk(d, c, &u->blk);
        break;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        bulkhead__console_worker_config__init(&u->console);
        configure_console(d, c, &u->console);
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        bulkhead__net_worker_config__init(&u->net);
        configure_net(d, c, &u->net);
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        bulkhead__vsock_worker_config__init(&u->vsock);
        u->vsock.cid = config->vsock->cid;
        c->role_case = BULKHEAD__CONFIGURE__ROLE_VSOCK;
        c->vsock = &u->vsock;
        break;
    case BULKHEAD__ROLE__ROLE_BALLOON:
        bulkhead__balloon_worker_config__init(&u->balloon);
        u->balloon.size = d->balloon_bytes;
        u->balloon.deflate_on_oom = config->balloon->deflate_on_oom;
        u->balloon.free_page_reporting = config->balloon->free_page_reporting;
        c->role_case = BULKHEAD__CONFIGURE__ROLE_BALLOON;
        c->balloon = &u->balloon;
        break;
    default: /* rng has nothing of its own */
        break;
    }
}

static void worker_fds(struct device *d, struct fd_list *list)
{
    if (d->plan->needs_ram)
        add_fd(list, d->vm->ram_fd);
    add_fd(list, d->stats_fd);
    add_fd(list, d->vm->life_read);
    if (d->plan->num_queues > 0)
        add_fd(list, d->journal_fd);
    for (unsigned q = 0; q < d->plan->num_queues; q++)
        add_fd(list, d->kick[q]);
    for (unsigned q = 0; q < d->plan->num_queues; q++)
        add_fd(list, d->call[q]);
    for (unsigned i = 0; d->plan->pci_slot == 0 && i < ARRAY_SIZE(d->shared_own); i++)
        add_fd(list, d->shared_own[i]);
    for (unsigned i = 0; i < d->backend.n_own; i++)
        add_fd(list, d->backend.own[i]);
    if (d->backend.client >= 0)
        add_fd(list, d->backend.client);
}

int configure_send(struct child *child)
{
    Bulkhead__Configure c = BULKHEAD__CONFIGURE__INIT;
    Bulkhead__LoaderConfig loader = BULKHEAD__LOADER_CONFIG__INIT;
    Bulkhead__CoreConfig core = BULKHEAD__CORE_CONFIG__INIT;
    struct fd_list list = { .n = 0 };
    union worker_config worker;
    struct device *d = child->device;
    ENVELOPE(e, CONFIGURE, configure, &c);

    c.protocol = PROTOCOL_MAX;
    c.name = child->name;
    c.insecure = child->vm->insecure;
    c.trace = child->vm->config->trace_start_ns != 0;
    if (child->role == BULKHEAD__ROLE__ROLE_LOADER) {
        configure_loader(child, &c, &loader, &list);
    } else if (child->role == BULKHEAD__ROLE__ROLE_CORE) {
        configure_core(child, &c, &core, &list);
    } else {
        c.ram_size = d->plan->needs_ram ? child->vm->config->memory->size : 0;
        c.num_queues = d->plan->num_queues;
        c.queue_size = d->plan->queue_size;
        c.restarted = d->announced || d->restarts > 0;
        child->settings = d->settings;
        configure_role(child, &c, &worker);
        worker_fds(d, &list);
    }
    return child_send(child, &e, list.fds, list.n);
}
