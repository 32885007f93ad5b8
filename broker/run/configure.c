/* SPDX-License-Identifier: Apache-2.0 */
/* configure.c - see configure.h. */
#include "run/configure.h"

#include <stdio.h>
#include <string.h>
#include "config/group.h"
#include "shm/layout.h"

static void add_fd(struct configure *c, int fd)
{
    if (c->n_fds < CHANNEL_MAX_FDS)
        c->fds[c->n_fds++] = fd;
}

static void add_region(struct configure *c, uint64_t address, uint64_t size, uint64_t offset)
{
    Bulkhead__MemoryRegion *region = &c->regions[c->message.n_regions];

    bulkhead__memory_region__init(region);
    region->guest_address = address;
    region->size = size;
    region->offset = offset;
    c->region_list[c->message.n_regions++] = region;
}

/* One memfd, whose second part lies above the 32-bit hole. */
static void add_ram(struct instance *in, struct configure *c)
{
    uint64_t size = in->config->memory->size, low = MIN(size, LAYOUT_LOW_RAM_MAX);

    c->message.ram_size = size;
    c->message.regions = c->region_list;
    add_region(c, 0, low, 0);
    if (size > low)
        add_region(c, LAYOUT_HIGH_RAM_BASE, size - low, low);
    add_fd(c, in->ram_fd);
}

static void make_loader(struct instance *in, struct configure *c)
{
    Bulkhead__LoaderConfig *loader = &c->role.loader;

    bulkhead__loader_config__init(loader);
    loader->cmdline = in->config->cmdline;
    loader->vcpus = in->config->cpus->boot_vcpus;
    loader->has_initramfs = in->initramfs_fd >= 0;
    loader->pci_slots = in->plan.pci_slots;
    c->message.role_case = BULKHEAD__CONFIGURE__ROLE_LOADER;
    c->message.loader = loader;
    add_ram(in, c);
    add_fd(c, in->kernel_fd);
    if (in->initramfs_fd >= 0)
        add_fd(c, in->initramfs_fd);
}

static const struct device_ends *serial_ends(const struct instance *in)
{
    for (unsigned i = 0; i < in->n_ends; i++)
        if (in->plan.devices[i].role == BULKHEAD__ROLE__ROLE_CONSOLE &&
            in->plan.devices[i].pci_slot == 0)
            return &in->ends[i];
    return NULL;
}

static void make_core(struct instance *in, struct configure *c)
{
    const struct device_ends *serial = serial_ends(in);
    Bulkhead__CoreConfig *core = &c->role.core;

    bulkhead__core_config__init(core);
    core->vcpus = in->config->cpus->boot_vcpus;
    core->serial = serial != NULL;
    core->thp = in->config->memory->thp;
    core->nested = in->config->cpus->nested;
    core->affinity = in->config->cpus->affinity;
    core->n_affinity = in->config->cpus->n_affinity;
    c->message.role_case = BULKHEAD__CONFIGURE__ROLE_CORE;
    c->message.core = core;
    add_ram(in, c);
    add_fd(c, in->kvm_fd);
    add_fd(c, in->life_write);
    for (unsigned i = 0; serial && i < ARRAY_SIZE(serial->shared_own); i++)
        add_fd(c, serial->shared_own[i]);
}

static void make_blk(struct instance *in, const struct device *d, struct configure *c)
{
    const Bulkhead__DiskConfig *disk = in->config->disks[d->plan->index];
    const Bulkhead__RateLimitGroup *group = group_of_disk(in->config, disk);
    const struct backend *b = &in->ends[d->number].backend;
    Bulkhead__BlkConfig *blk = &c->role.blk;

    bulkhead__blk_config__init(blk);
    blk->size = b->size_bytes;
    blk->block_size = b->block_size;
    blk->physical_block_exp = b->physical_block_exp;
    blk->direct_align = b->direct_align;
    blk->range_align = b->range_align;
    blk->readonly = disk->readonly;
    blk->direct = disk->direct;
    blk->block_device = b->block_device;
    blk->use_io_uring = !disk->disable_io_uring;
    blk->discard = b->discard;
    blk->serial = disk->serial;
    blk->rate_limit = group ? group->limit : d->rate_limit ? d->rate_limit : disk->rate_limit;
    blk->rate_limit_group = group != NULL;
    blk->fail_all = d->failed;
    c->message.role_case = BULKHEAD__CONFIGURE__ROLE_BLK;
    c->message.blk = blk;
}

static void make_console(struct instance *in, const struct device *d, struct configure *c)
{
    bool pci = d->plan->pci_slot != 0;
    Bulkhead__ConsoleWorkerConfig *console = &c->role.console;

    bulkhead__console_worker_config__init(console);
    console->virtio = pci;
    console->mode = (pci ? in->config->console : in->config->serial)->mode;
    console->escape = d->has_keys;
    c->message.role_case = BULKHEAD__CONFIGURE__ROLE_CONSOLE;
    c->message.console = console;
}

static void make_net(struct instance *in, const struct device *d, const struct child *child,
                     struct configure *c)
{
    const Bulkhead__NetConfig *from = in->config->nets[d->plan->index];
    Bulkhead__NetWorkerConfig *net = &c->role.net;

    bulkhead__net_worker_config__init(net);
    net->mac = from->mac;
    net->mtu = from->mtu;
    net->queue_pairs = from->num_queues / 2;
    net->stream = d->is_user;
    net->mac_filter = from->mac_filter;
    net->offload_tso = from->offload_tso && !net->stream;
    net->offload_ufo = from->offload_ufo && !net->stream;
    net->offload_csum = from->offload_csum && !net->stream;
    net->rate_limit = d->rate_limit ? d->rate_limit : from->rate_limit;
    net->link_down = !child->link_up;
    net->use_io_uring = !from->disable_io_uring;
    net->tap_offloads = in->ends[d->number].backend.tap_offloads;
    c->message.role_case = BULKHEAD__CONFIGURE__ROLE_NET;
    c->message.net = net;
}

static void make_role(struct instance *in, const struct device *d, const struct child *child,
                      struct configure *c)
{
    switch ((int)d->plan->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        make_blk(in, d, c);
        break;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        make_console(in, d, c);
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        make_net(in, d, child, c);
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        bulkhead__vsock_worker_config__init(&c->role.vsock);
        c->role.vsock.cid = in->config->vsock->cid;
        c->message.role_case = BULKHEAD__CONFIGURE__ROLE_VSOCK;
        c->message.vsock = &c->role.vsock;
        break;
    case BULKHEAD__ROLE__ROLE_BALLOON:
        bulkhead__balloon_worker_config__init(&c->role.balloon);
        c->role.balloon.size = d->balloon_bytes;
        c->role.balloon.deflate_on_oom = in->config->balloon->deflate_on_oom;
        c->role.balloon.free_page_reporting = in->config->balloon->free_page_reporting;
        c->message.role_case = BULKHEAD__CONFIGURE__ROLE_BALLOON;
        c->message.balloon = &c->role.balloon;
        break;
    default: /* rng has nothing of its own */
        break;
    }
}

static void add_worker_fds(struct instance *in, const struct device *d, struct configure *c)
{
    const struct device_ends *e = &in->ends[d->number];

    if (d->plan->needs_ram)
        add_ram(in, c);
    add_fd(c, e->stats_fd);
    add_fd(c, in->life_read);
    if (d->plan->num_queues > 0)
        add_fd(c, e->journal_fd);
    for (unsigned q = 0; q < d->plan->num_queues; q++)
        add_fd(c, e->kick[q]);
    for (unsigned q = 0; q < d->plan->num_queues; q++)
        add_fd(c, e->call[q]);
    for (unsigned i = 0; d->plan->pci_slot == 0 && i < ARRAY_SIZE(e->shared_own); i++)
        add_fd(c, e->shared_own[i]);
    for (unsigned i = 0; i < e->backend.n_own; i++)
        add_fd(c, e->backend.own[i]);
    if (e->backend.client >= 0)
        add_fd(c, e->backend.client);
}

void configure_make(struct instance *in, uint32_t id, struct configure *c)
{
    const struct child *child = vm_look(&in->vm, id);
    const struct device *d = NULL;

    bulkhead__envelope__init(&c->envelope);
    bulkhead__configure__init(&c->message);
    c->n_fds = 0;
    c->envelope.body_case = BULKHEAD__ENVELOPE__BODY_CONFIGURE;
    c->envelope.configure = &c->message;
    snprintf(c->name, sizeof c->name, "%s", child->name);
    c->message.protocol = PROTOCOL_MAX;
    c->message.name = c->name;
    c->message.insecure = in->vm.insecure;
    c->message.trace = in->config->trace_start_ns != 0;
    if (child->role == BULKHEAD__ROLE__ROLE_LOADER) {
        make_loader(in, c);
    } else if (child->role == BULKHEAD__ROLE__ROLE_CORE) {
        make_core(in, c);
    } else {
        d = &in->vm.devices[child->device];
        c->message.num_queues = d->plan->num_queues;
        c->message.queue_size = d->plan->queue_size;
        c->message.restarted = d->announced; /* in this boot */
        make_role(in, d, child, c);
        add_worker_fds(in, d, c);
    }
}
