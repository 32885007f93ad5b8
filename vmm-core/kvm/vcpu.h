/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.h - one vCPU: the state it starts in, its runs and how each ended. Calls may come from any
 * thread unless said otherwise. What the guest can provoke at run time is an exit, never fatal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct hv;
struct hv_vcpu;
struct kvm_cpuid2;

enum hv_exit_kind {
    HV_EXIT_NONE, /* nothing to do, or hv_vcpu_interrupt(): look around and run again */
    HV_EXIT_IDLE, /* waits for another vCPU to start it, and can't wait in the hypervisor: run it
                   * again after a while */
    HV_EXIT_PIO,
    HV_EXIT_MMIO,
    HV_EXIT_TRIPLE_FAULT,
    HV_EXIT_ERROR,      /* the guest did what can't be run: see what */
    HV_EXIT_HOST_ERROR, /* the host can't run it any further: see what */
};

struct hv_exit {
    enum hv_exit_kind kind;
    bool write;
    unsigned size;  /* bytes of one access: 1, 2, 4 for ports, 1..8 for memory */
    unsigned count; /* accesses of a string instruction to the same port, else 1 */
    uint64_t addr;
    uint8_t *data; /* size * count bytes, to be read or filled before the next run */
    char what[160];
};

/* Where the BSP starts; the other vCPUs wait for its INIT and SIPI. */
enum hv_entry_kind { HV_ENTRY_LINUX64, HV_ENTRY_PVH };
struct hv_entry {
    enum hv_entry_kind kind;
    uint64_t rip, boot_data, page_table, gdt;
    uint16_t gdt_limit;
};

/* index: below the VM's number of vCPUs. Lives as long as hv does. */
struct hv_vcpu *hv_vcpu_at(struct hv *hv, unsigned index);
/* Both only on the thread of that vCPU. */
int hv_vcpu_enter(struct hv_vcpu *vcpu, const struct hv_entry *entry) must_check;
void hv_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret_exit);
/* Once per VM, on the thread of vCPU 0, before the process gives up the right to make threads:
 * lets the hypervisor do what it puts off until the first run. Runs nothing of the guest. */
int hv_vcpu_first_run(struct hv_vcpu *vcpu) must_check;
/* Makes the next, or with a signal to its thread the present, run end with HV_EXIT_NONE until it
 * is called with on = false. */
void hv_vcpu_interrupt(struct hv_vcpu *vcpu, bool on);
/* Tells the guest's clock that it stood still, so that its watchdogs keep quiet. */
void hv_vcpu_was_paused(struct hv_vcpu *vcpu);

/* ---- for vm.c ---- */

/* Makes hv->vcpus[index]; supported: what KVM can show a guest. A negative errno with an origin leaves
 * what kvm_vcpu_deinit() takes back. */
int kvm_vcpu_init(struct hv *hv, int device_fd, unsigned index, const struct kvm_cpuid2 *supported,
                  bool tsc_deadline) must_check;
void kvm_vcpu_deinit(struct hv_vcpu *vcpu);
