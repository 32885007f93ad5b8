/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - which processes a configuration needs; see plan.h. */
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>
#include "config/config.h"

enum { CONSOLE_QUEUES = 2, VSOCK_QUEUES = 3, SMALL_QUEUE_SIZE = 64, VSOCK_QUEUE_SIZE = 256 };

static struct plan_device *add(struct plan *plan, Bulkhead__Role role, const char *name)
{
    struct plan_device *d = &plan->devices[plan->n_devices];

    *d = (struct plan_device){ .role = role, .needs_ram = true };
    snprintf(d->name, sizeof d->name, "%s", name);
    d->uid_slot = PLAN_UID_FIRST_DEVICE + plan->n_devices;
    plan->n_devices++;
    return d;
}

static struct plan_device *add_pci(struct plan *plan, Bulkhead__Role role, const char *name,
                                   unsigned num_queues, unsigned queue_size)
{
    struct plan_device *d = add(plan, role, name);

    /* Slots follow each other from 1 on; the serial port is added last and takes none. */
    d->pci_slot = plan->n_devices;
    d->num_queues = num_queues;
    d->queue_size = queue_size;
    plan->pci_slots |= 1u << d->pci_slot;
    return d;
}

void plan_make(const Bulkhead__VmConfig *c, struct plan *plan)
{
    unsigned n_passt = 0;

    memset(plan, 0, sizeof *plan);
    for (unsigned i = 0; i < c->n_disks; i++)
        add_pci(plan, BULKHEAD__ROLE__ROLE_BLK, c->disks[i]->id, c->disks[i]->num_queues,
                c->disks[i]->queue_size)
            ->index = i;
    for (unsigned i = 0; i < c->n_nets; i++) { /* one more: the control queue */
        struct plan_device *d = add_pci(plan, BULKHEAD__ROLE__ROLE_NET, c->nets[i]->id,
                                        c->nets[i]->num_queues + 1, c->nets[i]->queue_size);

        d->index = i;
        if (strcmp(c->nets[i]->mode, "user") == 0)
            d->passt_uid_slot = PLAN_UID_PASST + n_passt++;
    }
    if (c->rng->enabled)
        add_pci(plan, BULKHEAD__ROLE__ROLE_RNG, "rng", 1, SMALL_QUEUE_SIZE);
    if (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF)
        add_pci(plan, BULKHEAD__ROLE__ROLE_CONSOLE, "console", CONSOLE_QUEUES, SMALL_QUEUE_SIZE);
    if (c->vsock->enabled)
        add_pci(plan, BULKHEAD__ROLE__ROLE_VSOCK, c->vsock->id, VSOCK_QUEUES, VSOCK_QUEUE_SIZE);
    if (c->balloon->enabled) /* inflate, deflate, statistics, reporting */
        add_pci(plan, BULKHEAD__ROLE__ROLE_BALLOON, "balloon",
                c->balloon->free_page_reporting ? 4 : 3, SMALL_QUEUE_SIZE);
    if (c->serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF) {
        add(plan, BULKHEAD__ROLE__ROLE_CONSOLE, "serial")->needs_ram = false;
        plan->serial = true;
    }
}

/* Of each device: both ends of what starts its worker, that worker's successor, its backend, journal,
 * stats page, ring, what the kernel says of each. */
enum { FILES_OF_VM = 80, FILES_OF_DEVICE = 16 };

unsigned plan_files(const struct plan *plan)
{
    unsigned n = FILES_OF_VM;

    for (unsigned i = 0; i < plan->n_devices; i++)
        n += FILES_OF_DEVICE + 2 * plan->devices[i].num_queues;
    return n;
}

const char *plan_program(Bulkhead__Role role)
{
    switch (role) {
    case BULKHEAD__ROLE__ROLE_BROKER:
    case BULKHEAD__ROLE__ROLE_SPAWNER:
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
    case BULKHEAD__ROLE__ROLE_NONE:
    case _BULKHEAD__ROLE_IS_INT_SIZE:
    default:
        return "";
    }
}
