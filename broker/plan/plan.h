/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - from a configuration to the exact list of processes, their descriptors, rights and
 * limits. Pure: opens nothing, asks the host nothing, allocates only what it returns. The same
 * plan is what the broker starts, what `bulkhead plan` prints and what the audit compares with. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "client.pb-c.h"
#include "sandbox/cgroup.h"

enum {
    PLAN_MAX_DEVICES = 32, /* 31 PCI functions and the serial port */
    PLAN_NAME_BYTES = 36,
    PLAN_CGROUP_BYTES = 600,
    PLAN_UID_CORE = 0, /* uid slots, see sandbox_uid() */
    PLAN_UID_LOADER = 1,
    PLAN_UID_FIRST_DEVICE = 2,
    PLAN_UID_SPARE = 33, /* + device index: a replacement beside the one that still runs, if free */
    PLAN_UID_BROKER =
        55, /* the broker itself, once it is in its sandbox; all below are children's */
    PLAN_UID_PASST = 56,           /* + number of the user network */
    PLAN_VSOCK_CONNECTIONS = 1280, /* at once; a vsock worker's table */
    PLAN_GATEWAY_CONNECTIONS = 40, /* 32 clients, the broker, 4 openers; and one that goes */
    PLAN_SPARE_THREADS = 8,        /* of a process, beyond what its work needs */
    PLAN_IO_THREADS = 128,         /* of a disk's io_uring, in the kernel */
};

/* What the page cache of a file, which is reclaimed, may take as its worker's memory; and of a file whose pages are
 * memory for good, if nothing bounds it. */
#define PLAN_CACHE_BYTES (UINT64_C(1) << 30)
#define PLAN_CACHE_ENDLESS UINT64_MAX

struct plan_device {
    Bulkhead__Role role; /* ROLE_NONE: the place is free, of a device that was removed */
    char name[PLAN_NAME_BYTES];
    unsigned pci_slot; /* 1..31; 0: not a PCI function (the serial port) */
    unsigned uid_slot;
    unsigned num_queues;
    unsigned queue_size;
    unsigned index; /* in config.disks or config.nets */
    bool needs_ram;
    uint64_t cache_bytes;    /* pages of its file that may count as its worker's memory */
    unsigned passt_uid_slot; /* 0: without passt */
    bool has_holder;         /* its socket's file is kept by a process of its own */
    bool holder_known;       /* and that is there, as: */
    uint32_t holder_uid, holder_gid;
};

struct plan {
    unsigned n_devices;
    struct plan_device devices[PLAN_MAX_DEVICES];
    bool serial;        /* the core has a serial port */
    unsigned pci_slots; /* bit per used slot */
};

/* What the host decides of a plan. */
struct plan_host {
    bool root;         /* own uid for broker and each child; else the caller's */
    int userns_error;  /* 0: each child has a user namespace; else why none can be made (negative
                          errno), and each has a host uid without capabilities instead */
    uint32_t uid, gid; /* of who started the VM; the spawner's */
    pid_t broker_pid;
    uint32_t uid_range; /* root: claimed by uids_claim() */
    const char *cgroup; /* of the VM, from the root of the hierarchy; "": none is delegated */
    unsigned limits;    /* SANDBOX_CGROUP_* bits: what can be limited there */
    pid_t gateway_pid;  /* as who started the VM says; 0: there is none */
    uint32_t gateway_uid, gateway_gid;
};

/* The configuration is filled and valid. */
void plan_make(const Bulkhead__VmConfig *config, struct plan *ret_plan);
/* A device that the configuration has now and the plan has not: disk or network number `index` of it, else the
 * one of that role. The number of its place, or -1: there is no room. */
int plan_add(struct plan *plan, const Bulkhead__VmConfig *config, Bulkhead__Role role,
             unsigned index);
/* The same in that place and PCI slot, of a plan that was written down, without passt: 0, or -1: it doesn't fit. */
int plan_add_at(struct plan *plan, const Bulkhead__VmConfig *config, Bulkhead__Role role,
                unsigned index, unsigned number, unsigned pci_slot);
/* passt of the device in that place gets that uid slot; false: it is none of passt's, or taken. */
bool plan_take_passt(struct plan *plan, unsigned number, unsigned uid_slot);
/* Its place is free; the configuration has lost it too. */
void plan_remove(struct plan *plan, unsigned number);
/* Of its control group. A device that has filled its memory is made to wait for it, from memory_high on; the
 * spawner kills it on the way to memory_max (spawner/excess.h). The others have memory_max alone. */
void plan_limits(const Bulkhead__VmConfig *config, Bulkhead__Role role, uint64_t cache_bytes,
                 struct sandbox_cgroup_limits *ret_limits);
/* Above that, for a device; 0: no limit. */
uint64_t plan_memory_max(uint64_t memory_high);
/* Regular files, so pages of these may count as its memory. */
bool plan_writes_files(Bulkhead__Role role);
bool plan_is_free(const struct plan_device *device);
/* "0000:00:05.0", of a PCI function. */
void plan_address(const struct plan_device *device, char *ret_text, size_t size);
/* How many descriptors the broker holds at most while it serves such a VM, its clients included. */
unsigned plan_files(const struct plan *plan);
/* The name of the program that plays a role: "bulkhead-dev-blk". */
const char *plan_program(Bulkhead__Role role);

/* What a role may do, one line for `bulkhead ps`. */
const char *plan_rights(const struct plan_device *device, Bulkhead__Role role);
