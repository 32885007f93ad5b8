/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - which processes a configuration needs; see plan.h. */
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "config/config.h"
#include "config/limits.h"
#include "shm/layout.h"

enum { CONSOLE_QUEUES = 2, VSOCK_QUEUES = 3, SMALL_QUEUE_SIZE = 64, VSOCK_QUEUE_SIZE = 256 };
#define MAX_CACHE_BYTES (UINT64_C(1) << 50) /* beyond any host */

/* What follows from the configuration alone. */
static void describe(const Bulkhead__VmConfig *c, Bulkhead__Role role, unsigned index,
                     struct plan_device *d)
{
    const char *name = "rng";

    *d = (struct plan_device){ .role = role,
                               .index = index,
                               .needs_ram = true,
                               .num_queues = 1,
                               .queue_size = SMALL_QUEUE_SIZE };
    switch ((int)role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        name = c->disks[index]->id;
        d->num_queues = c->disks[index]->num_queues;
        d->cache_bytes = c->disks[index]->direct ? 0 : PLAN_CACHE_BYTES;
        d->queue_size = c->disks[index]->queue_size;
        break;
    case BULKHEAD__ROLE__ROLE_NET: /* one more: the control queue */
        name = c->nets[index]->id;
        d->num_queues = c->nets[index]->num_queues + 1;
        d->queue_size = c->nets[index]->queue_size;
        break;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        name = "console";
        d->num_queues = CONSOLE_QUEUES;
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        name = c->vsock->id;
        d->num_queues = VSOCK_QUEUES;
        d->queue_size = VSOCK_QUEUE_SIZE;
        d->has_holder = true;
        break;
    case BULKHEAD__ROLE__ROLE_BALLOON: /* inflate, deflate, statistics, reporting */
        name = "balloon";
        d->num_queues = c->balloon->free_page_reporting ? 4 : 3;
        break;
    default:
        break;
    }
    snprintf(d->name, sizeof d->name, "%s", name);
}

bool plan_is_free(const struct plan_device *d)
{
    return d->role == BULKHEAD__ROLE__ROLE_NONE;
}

bool plan_writes_files(Bulkhead__Role role)
{
    return role == BULKHEAD__ROLE__ROLE_BLK || role == BULKHEAD__ROLE__ROLE_CONSOLE;
}

uint64_t plan_memory_max(uint64_t memory_high)
{
    return memory_high + align_up(memory_high / 4, PAGE_BYTES);
}

void plan_limits(const Bulkhead__VmConfig *c, Bulkhead__Role role, uint64_t cache_bytes,
                 struct sandbox_cgroup_limits *ret_limits)
{
    struct sandbox_cgroup_limits l = { .pids_max = PLAN_SPARE_THREADS };

    if (role == BULKHEAD__ROLE__ROLE_CORE)
        l.pids_max += c->cpus->boot_vcpus;
    if (role == BULKHEAD__ROLE__ROLE_BLK) /* io_uring's threads in the kernel */
        l.pids_max += PLAN_IO_THREADS;
    if (role < BULKHEAD__ROLE__ROLE_BLK || role > BULKHEAD__ROLE__ROLE_BALLOON) {
        l.memory_max_bytes = limits_process_memory(c);
    } else if (cache_bytes <= MAX_CACHE_BYTES) {
        l.memory_high_bytes = limits_process_memory(c) + align_up(cache_bytes, PAGE_BYTES);
        l.memory_max_bytes = plan_memory_max(l.memory_high_bytes);
    }
    *ret_limits = l;
}

/* The configuration has that device. */
static bool has(const Bulkhead__VmConfig *c, Bulkhead__Role role, unsigned index)
{
    switch ((int)role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        return index < c->n_disks;
    case BULKHEAD__ROLE__ROLE_NET:
        return index < c->n_nets;
    case BULKHEAD__ROLE__ROLE_RNG:
        return index == 0 && c->rng->enabled;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return index == 0 && c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return index == 0 && c->vsock->enabled;
    case BULKHEAD__ROLE__ROLE_BALLOON:
        return index == 0 && c->balloon->enabled;
    default:
        return false;
    }
}

/* Another place is that device's. */
static bool is_planned(const struct plan *plan, Bulkhead__Role role, unsigned index)
{
    for (unsigned i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].role == role && plan->devices[i].index == index &&
            plan->devices[i].pci_slot != 0)
            return true;
    return false;
}

int plan_add_at(struct plan *plan, const Bulkhead__VmConfig *c, Bulkhead__Role role, unsigned index,
                unsigned number, unsigned slot)
{
    struct plan_device *d = &plan->devices[number];

    if (number >= PLAN_MAX_DEVICES || slot == 0 || slot >= LAYOUT_PCI_SLOTS ||
        (plan->pci_slots & (1u << slot)) || !plan_is_free(d) || !has(c, role, index) ||
        is_planned(plan, role, index))
        return -1;
    describe(c, role, index, d);
    d->pci_slot = slot;
    d->uid_slot = PLAN_UID_FIRST_DEVICE + number;
    plan->pci_slots |= 1u << slot;
    plan->n_devices = MAX(plan->n_devices, number + 1);
    return 0;
}

bool plan_take_passt(struct plan *plan, unsigned number, unsigned uid_slot)
{
    if (uid_slot < PLAN_UID_PASST || uid_slot >= PLAN_UID_PASST + CONFIG_MAX_PASST)
        return false;
    for (unsigned i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].passt_uid_slot == uid_slot)
            return false;
    plan->devices[number].passt_uid_slot = uid_slot;
    return true;
}

/* The lowest that is free, if it is a user network; false: there is none. */
static bool give_passt(struct plan *plan, const Bulkhead__VmConfig *c, unsigned number)
{
    const struct plan_device *d = &plan->devices[number];
    unsigned uid_slot = PLAN_UID_PASST;

    if (d->role != BULKHEAD__ROLE__ROLE_NET || strcmp(c->nets[d->index]->mode, "user") != 0)
        return true;
    while (uid_slot < PLAN_UID_PASST + CONFIG_MAX_PASST && !plan_take_passt(plan, number, uid_slot))
        uid_slot++;
    return d->passt_uid_slot != 0;
}

static void clear_place(struct plan *plan, unsigned number)
{
    if (plan->devices[number].pci_slot != 0)
        plan->pci_slots &= ~(1u << plan->devices[number].pci_slot);
    plan->devices[number] = (struct plan_device){ .role = BULKHEAD__ROLE__ROLE_NONE };
}

/* The lowest of each: place, and with it the uid, and PCI slot. */
int plan_add(struct plan *plan, const Bulkhead__VmConfig *c, Bulkhead__Role role, unsigned index)
{
    unsigned number = 0, slot = 1;

    while (number < plan->n_devices && !plan_is_free(&plan->devices[number]))
        number++;
    while (slot < LAYOUT_PCI_SLOTS && (plan->pci_slots & (1u << slot)))
        slot++;
    if (plan_add_at(plan, c, role, index, number, slot) < 0)
        return -1;
    if (give_passt(plan, c, number))
        return (int)number;
    clear_place(plan, number);
    return -1;
}

void plan_remove(struct plan *plan, unsigned number)
{
    const struct plan_device was = plan->devices[number];

    clear_place(plan, number);
    for (unsigned i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].role == was.role && plan->devices[i].index > was.index)
            plan->devices[i].index--;
}

void plan_address(const struct plan_device *d, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "0000:00:%02x.0", d->pci_slot);
}

/* PCI slots follow each other from 1 on; the serial port is last and takes none. */
void plan_make(const Bulkhead__VmConfig *c, struct plan *plan)
{
    memset(plan, 0, sizeof *plan);
    for (unsigned i = 0; i < c->n_disks; i++)
        (void)plan_add(plan, c, BULKHEAD__ROLE__ROLE_BLK, i);
    for (unsigned i = 0; i < c->n_nets; i++)
        (void)plan_add(plan, c, BULKHEAD__ROLE__ROLE_NET, i);
    if (c->rng->enabled)
        (void)plan_add(plan, c, BULKHEAD__ROLE__ROLE_RNG, 0);
    if (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF)
        (void)plan_add(plan, c, BULKHEAD__ROLE__ROLE_CONSOLE, 0);
    if (c->vsock->enabled)
        (void)plan_add(plan, c, BULKHEAD__ROLE__ROLE_VSOCK, 0);
    if (c->balloon->enabled)
        (void)plan_add(plan, c, BULKHEAD__ROLE__ROLE_BALLOON, 0);
    if (c->serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF) {
        struct plan_device *d = &plan->devices[plan->n_devices];

        *d = (struct plan_device){ .role = BULKHEAD__ROLE__ROLE_CONSOLE,
                                   .name = "serial",
                                   .uid_slot = PLAN_UID_FIRST_DEVICE + plan->n_devices };
        plan->n_devices++;
        plan->serial = true;
    }
}

/* Of each device: both ends of what starts its worker, that worker's successor, its backend, journal,
 * stats page, ring, what the kernel says of each; to repair a tap two more. */
enum { FILES_OF_VM = 80, FILES_OF_DEVICE = 18 };

unsigned plan_files(const struct plan *plan)
{
    unsigned n = FILES_OF_VM;

    for (unsigned i = 0; i < plan->n_devices; i++)
        if (!plan_is_free(&plan->devices[i]))
            n += FILES_OF_DEVICE + 2 * plan->devices[i].num_queues;
    return n;
}

const char *plan_program(Bulkhead__Role role)
{
    switch (role) {
    case BULKHEAD__ROLE__ROLE_BROKER:
    case BULKHEAD__ROLE__ROLE_SPAWNER:
    case BULKHEAD__ROLE__ROLE_HOLDER:
        return "bulkhead-broker";
    case BULKHEAD__ROLE__ROLE_CORE:
        return "bulkhead-core";
    case BULKHEAD__ROLE__ROLE_LOADER:
        return "bulkhead-loader";
    case BULKHEAD__ROLE__ROLE_BLK:
        return "bulkhead-dev-blk";
    case BULKHEAD__ROLE__ROLE_RNG:
        return "bulkhead-dev-rng";
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return "bulkhead-dev-console";
    case BULKHEAD__ROLE__ROLE_NET:
        return "bulkhead-dev-net";
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return "bulkhead-dev-vsock";
    case BULKHEAD__ROLE__ROLE_BALLOON:
        return "bulkhead-dev-balloon";
    case BULKHEAD__ROLE__ROLE_PASST:
        return "passt";
    case BULKHEAD__ROLE__ROLE_GATEWAY:
        return "bulkhead-gateway";
    case BULKHEAD__ROLE__ROLE_NONE:
    case _BULKHEAD__ROLE_IS_INT_SIZE:
    default:
        return "";
    }
}

const char *plan_rights(const struct plan_device *device, Bulkhead__Role role)
{
    switch (role) {
    case BULKHEAD__ROLE__ROLE_BROKER:
        return "opens what the plan names; no guest RAM";
    case BULKHEAD__ROLE__ROLE_SPAWNER:
        return "starts and reaps the VM's processes; no guest RAM";
    case BULKHEAD__ROLE__ROLE_CORE:
        return "the VM and its vCPUs, guest RAM";
    case BULKHEAD__ROLE__ROLE_LOADER:
        return "kernel and initramfs read-only, guest RAM; gone before the guest runs";
    case BULKHEAD__ROLE__ROLE_BLK:
        return "one disk, guest RAM";
    case BULKHEAD__ROLE__ROLE_RNG:
        return "guest RAM";
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return device && device->needs_ram ? "one terminal, guest RAM"
                                           : "one terminal; no guest RAM";
    case BULKHEAD__ROLE__ROLE_NET:
        return "one network interface, guest RAM";
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return "one listening socket, guest RAM";
    case BULKHEAD__ROLE__ROLE_BALLOON:
        return "guest RAM, may give pages back";
    case BULKHEAD__ROLE__ROLE_PASST:
        return "the host's network as an ordinary user; no guest RAM";
    case BULKHEAD__ROLE__ROLE_HOLDER:
        return "one socket's name, to remove it; its neighbours, to connect; no guest RAM";
    case BULKHEAD__ROLE__ROLE_GATEWAY:
        return "HTTP at one socket, what its clients may ask of this VM; no guest RAM";
    case BULKHEAD__ROLE__ROLE_NONE:
    case _BULKHEAD__ROLE_IS_INT_SIZE:
    default:
        return "";
    }
}
