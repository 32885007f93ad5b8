/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.h - what the files of this folder share. */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include "kvm/hv.h"
#include "shm/layout.h"

enum {
    KVM_IRQCHIP_PINS = 24, /* GSIs of the IOAPIC */
    KVM_MAX_MSI = (LAYOUT_PCI_SLOTS - 1) * LAYOUT_MAX_QUEUES,
    KVM_MAX_ROUTE = KVM_IRQCHIP_PINS + KVM_MAX_MSI,
    KVM_CPUID_MAX = 256,
};

struct hv_vcpu {
    int fd;
    unsigned index;
    unsigned retries; /* runs in a row that ended with EAGAIN */
    struct kvm_run *run;
    size_t run_bytes;
};

struct hv {
    int vm_fd;
    unsigned n_vcpus;
    bool nested;
    bool notify_any_length;
    pthread_mutex_t route_lock;
    struct kvm_irq_routing *routes; /* room for KVM_MAX_ROUTE entries */
    uint16_t route_of[KVM_MAX_MSI]; /* index into routes->entries, 0: not there yet */
    struct hv_vcpu vcpus[LAYOUT_MAX_VCPUS];
};

struct kvm_cpuid_wishes {
    unsigned n_vcpus;
    bool tsc_deadline;
    bool nested; /* VMX or SVM, if the host has it */
};
/* Adjusts what KVM supports to this VM's vCPU: ids, topology, what the host and KVM both have.
 * There must be room for KVM_CPUID_MAX entries. */
void kvm_cpuid_adjust(struct kvm_cpuid2 *cpuid, unsigned index,
                      const struct kvm_cpuid_wishes *wishes);
int kvm_vcpu_init(struct hv *hv, int device_fd, unsigned index, const struct kvm_cpuid2 *supported,
                  bool tsc_deadline) must_check;
void kvm_vcpu_deinit(struct hv_vcpu *vcpu);
/* Bits of a guest-physical address that the host's processor and KVM translate. */
unsigned kvm_cpuid_address_bits(const struct kvm_cpuid2 *supported);
/* The fixed routes: GSI n is pin n of the IOAPIC. */
int kvm_irq_init(struct hv *hv) must_check;
