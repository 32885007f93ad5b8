/* SPDX-License-Identifier: Apache-2.0 */
/* vm.h - the facts of the VM. vm/ is data and rules: it takes one event and leaves a list of actions
 * (step.h). It holds no descriptor, reads no clock and makes no system call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "plan/plan.h"
#include "vm/action.h"
#include "vm/child.h"
#include "vm/device.h"
#include "vm/event.h"

enum { VM_MAX_CHILDREN = 64, VM_MAX_TRACE = 64 };

enum vm_phase {
    VM_NEW,
    VM_STARTING, /* until the core was told to run */
    VM_RUNNING,
    VM_ENDING, /* workers are told to leave, then the core */
    VM_GONE,
};

enum guest_run { GUEST_RUNS, GUEST_PAUSING, GUEST_IS_PAUSED, GUEST_RESUMING };

enum end_by { END_BY_GUEST, END_BY_USER, END_BY_HOST };

/* How it ended. */
struct vm_end {
    bool ended;
    bool reboot; /* start again when all are gone */
    Bulkhead__GuestStateKind state;
    enum end_by by;
    struct fault fault; /* error != 0: before the guest ran, or a host failure */
    char detail[FAULT_TEXT_MAX];
};

struct trace_point {
    char what[40];
    uint64_t ns;
};

struct vm {
    Bulkhead__VmConfig *config; /* not owned; rate limits of groups are changed */
    const struct plan *plan;    /* not owned */
    bool insecure;
    enum vm_phase phase;
    struct device devices[PLAN_MAX_DEVICES];
    unsigned n_devices;
    struct child children[VM_MAX_CHILDREN];
    uint32_t core, loader; /* ids; 0: none */
    uint32_t next_id;
    uint32_t epoch; /* how many brokers there were before this one */
    Bulkhead__EntryState entry;
    bool have_entry;
    uint64_t boot_ns; /* since when it boots */
    bool ran;         /* a core was told to run: the guest has existed */
    struct vm_end end;

    enum guest_run run;
    uint64_t run_ns; /* since when */
    bool core_told;  /* PauseVcpus or ResumeVcpus, of this change */
    struct ticket run_asker;

    /* An upgrade of all devices, one after the other. */
    bool upgrades_all;
    struct ticket all_asker;
    unsigned all_next;

    struct trace_point trace[VM_MAX_TRACE];
    unsigned n_trace;
    bool traced; /* the start is over, and was told of */
    uint64_t created_ns;

    /* Of the event that is looked at. */
    uint64_t now;
    struct actions actions;
};

/* *vm is all zeroes. */
void vm_init(struct vm *vm, Bulkhead__VmConfig *config, const struct plan *plan, uint64_t now);
void vm_deinit(struct vm *vm);
/* A device is to be added there (hotplug.c), as plan says now. It is not here yet. */
struct device *vm_take_place(struct vm *vm, unsigned number);
/* NULL: gone, or id 0. */
struct child *vm_child(struct vm *vm, uint32_t id);
const struct child *vm_look(const struct vm *vm, uint32_t id);
unsigned vm_count_children(const struct vm *vm);
struct child *vm_worker(struct vm *vm, const struct device *device);
/* Processes of the device, passt's among them. */
unsigned vm_count_of_device(const struct vm *vm, const struct device *device);
/* The device that the core has at that PCI slot; NULL: none. */
struct device *vm_find_slot(struct vm *vm, uint32_t slot);
/* Asks for a process; NULL when there is no place or no uid for it. */
struct child *vm_start(struct vm *vm, Bulkhead__Role role, struct device *device,
                       unsigned uid_slot);
void vm_forget(struct vm *vm, struct child *child);
/* Tells the core; false: it can't be told now. */
bool vm_tell_core(struct vm *vm, Bulkhead__Envelope__BodyCase body, struct action **ret_action);
/* vCPUs stand still. */
bool vm_core_stands(const struct vm *vm);
void vm_trace(struct vm *vm, const char *what_fmt, ...) printf_like(2, 3);
