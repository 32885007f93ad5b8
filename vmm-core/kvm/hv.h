/* SPDX-License-Identifier: Apache-2.0 */
/* hv.h - what the core wants from a hypervisor. Only the files of this folder know which one it
 * is; tests link a fake instead.
 *
 * One VM with its interrupt controllers and vCPUs, created in one go before the sandbox is
 * entered; afterwards nothing here allocates or opens. Calls may come from any thread unless said
 * otherwise. Failures of calls that the guest can provoke at run time are returned, never fatal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "shm/gmem.h"

struct hv;
struct hv_vcpu;

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

/* Creates the VM with RAM where `mem` has it. nested: the guest may run guests of its own, for which
 * the host's kernel runs far more of its code on the guest's behalf. device_fd is /dev/kvm and stays
 * the caller's; it is not needed afterwards. -EOPNOTSUPP with an origin names what the host lacks. */
int hv_new(struct hv **ret_hv, int device_fd, unsigned n_vcpus, bool nested,
           const struct gmem *mem) must_check;
void hv_free(struct hv *hv);
/* Descriptors that must survive the sandbox; returns how many there are, fills at most max. */
unsigned hv_fds(const struct hv *hv, int *fds, unsigned max);

struct hv_vcpu *hv_vcpu(struct hv *hv, unsigned index);
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

/* A line of the interrupt controller. */
void hv_irq_line(struct hv *hv, unsigned gsi, bool level);
/* A message-signalled interrupt, now. */
void hv_msi_send(struct hv *hv, uint64_t addr, uint32_t data);
/* What gsi (>= LAYOUT_GSI_MSI_BASE) means; costs a millisecond, so only when it changed. */
int hv_msi_route(struct hv *hv, unsigned gsi, uint64_t addr, uint32_t data) must_check;
/* While attached, a signal on the eventfd raises gsi; one that is pending already does at once. */
int hv_irq_attach(struct hv *hv, int event_fd, unsigned gsi) must_check;
void hv_irq_detach(struct hv *hv, int event_fd, unsigned gsi);
/* While attached, a guest's write at addr signals the eventfd and is not seen as an exit. */
int hv_notify_attach(struct hv *hv, int event_fd, uint64_t addr) must_check;
void hv_notify_detach(struct hv *hv, int event_fd, uint64_t addr);
