/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.h - what a vCPU says it is (CPUID: Intel SDM volume 2, AMD APM volume 3 appendix E). */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>

enum { KVM_CPUID_MAX = 256 }; /* entries of a table */

struct kvm_cpuid_wishes {
    unsigned n_vcpus;
    bool tsc_deadline;
    bool nested; /* VMX or SVM, if the host has it */
};

/* Adjusts what KVM supports to this VM's vCPU: ids, topology, what the host and KVM both have.
 * There must be room for KVM_CPUID_MAX entries. */
void kvm_cpuid_adjust(struct kvm_cpuid2 *cpuid, unsigned index,
                      const struct kvm_cpuid_wishes *wishes);
/* Bits of a guest-physical address that the host's processor and KVM translate. */
unsigned kvm_cpuid_address_bits(const struct kvm_cpuid2 *supported);
