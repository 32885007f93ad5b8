/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.h - the state that the files of this folder share. */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shm/layout.h"

enum {
    KVM_IRQCHIP_PINS = 24, /* GSIs of the IOAPIC */
    KVM_MAX_MSI = (LAYOUT_PCI_SLOTS - 1) * LAYOUT_MAX_QUEUES,
    KVM_MAX_ROUTE = KVM_IRQCHIP_PINS + KVM_MAX_MSI,
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
