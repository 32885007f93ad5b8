/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.c - see cpuid.h: KVM's supported set, with this VM's ids and topology
 * (one package, one thread per core, APIC id = index). Leaves are changed, never added: what KVM
 * doesn't list, the host lacks. */
#include "kvm/cpuid.h"

#include "base/compiler.h"

enum {
    CPUID_1_ECX_VMX = 1 << 5,
    CPUID_1_ECX_TSC_DEADLINE = 1 << 24,
    CPUID_1_ECX_HYPERVISOR = 1u << 31,
    CPUID_1_EDX_HTT = 1 << 28,
    CPUID_EXT1_ECX_CMP_LEGACY = 1 << 1,
    CPUID_EXT1_ECX_SVM = 1 << 2,
};

static unsigned bits_for(unsigned n)
{
    unsigned bits = 0;

    while ((1u << bits) < n)
        bits++;
    return bits;
}

/* Leaf 1: feature flags and this vCPU's initial APIC id. */
static void adjust_features(struct kvm_cpuid_entry2 *e, unsigned index,
                            const struct kvm_cpuid_wishes *wishes)
{
    e->ebx = (e->ebx & 0x0000ffff) | wishes->n_vcpus << 16 | index << 24;
    e->ecx |= CPUID_1_ECX_HYPERVISOR;
    e->ecx &= ~(uint32_t)CPUID_1_ECX_TSC_DEADLINE;
    if (wishes->tsc_deadline)
        e->ecx |= CPUID_1_ECX_TSC_DEADLINE;
    if (!wishes->nested)
        e->ecx &= ~(uint32_t)CPUID_1_ECX_VMX;
    e->edx &= ~(uint32_t)CPUID_1_EDX_HTT;
    if (wishes->n_vcpus > 1)
        e->edx |= CPUID_1_EDX_HTT;
}

/* Leaf 4 and AMD's 0x8000001d: caches. Up to level 2 a cache is one core's, above it is shared. */
static void adjust_cache(struct kvm_cpuid_entry2 *e, unsigned n_vcpus, bool intel)
{
    unsigned type = e->eax & 0x1f;
    unsigned level = (e->eax >> 5) & 7;
    uint32_t sharing = level > 2 ? (1u << bits_for(n_vcpus)) - 1 : 0;

    if (type == 0)
        return;
    e->eax = (e->eax & 0x00003fff) | sharing << 14;
    if (intel)
        e->eax |= ((1u << bits_for(n_vcpus)) - 1) << 26;
}

/* Leaves 0xb and 0x1f: extended topology. */
static void adjust_topology(struct kvm_cpuid_entry2 *e, unsigned index, unsigned n_vcpus)
{
    enum { LEVEL_SMT = 1, LEVEL_CORE = 2 };

    e->edx = index;
    e->eax = e->ebx = 0;
    e->ecx = e->index;
    if (e->index == 0) {
        e->ebx = 1;
        e->ecx |= LEVEL_SMT << 8;
    } else if (e->index == 1) {
        e->eax = bits_for(n_vcpus);
        e->ebx = n_vcpus;
        e->ecx |= LEVEL_CORE << 8;
    }
}

static void adjust_entry(struct kvm_cpuid_entry2 *e, unsigned index,
                         const struct kvm_cpuid_wishes *wishes)
{
    unsigned n_vcpus = wishes->n_vcpus;

    switch (e->function) {
    case 0x1:
        adjust_features(e, index, wishes);
        break;
    case 0x4:
        adjust_cache(e, n_vcpus, true);
        break;
    case 0xb:
    case 0x1f:
        adjust_topology(e, index, n_vcpus);
        break;
    case 0x80000001:
        e->ecx &= ~(uint32_t)CPUID_EXT1_ECX_CMP_LEGACY;
        if (n_vcpus > 1)
            e->ecx |= CPUID_EXT1_ECX_CMP_LEGACY;
        if (!wishes->nested)
            e->ecx &= ~(uint32_t)CPUID_EXT1_ECX_SVM;
        break;
    case 0x80000008:
        e->ecx = (e->ecx & 0xffff0000) | bits_for(n_vcpus) << 12 | (n_vcpus - 1);
        break;
    case 0x8000000a: /* of SVM alone */
        if (!wishes->nested)
            e->eax = e->ebx = e->ecx = e->edx = 0;
        break;
    case 0x8000001d:
        adjust_cache(e, n_vcpus, false);
        break;
    case 0x8000001e:
        e->eax = index;
        e->ebx = index & 0xff; /* core id; one thread per core */
        e->ecx = 0;            /* node 0 of 1 */
        break;
    default:
        break;
    }
}

/* Newer kernels list only the first level of the topology leaves, and zeroed; a guest that finds
 * no second level takes each vCPU for a package of its own. */
static void ensure_core_level(struct kvm_cpuid2 *cpuid, uint32_t function)
{
    bool has_smt = false;

    for (uint32_t i = 0; i < cpuid->nent; i++) {
        if (cpuid->entries[i].function != function)
            continue;
        if (cpuid->entries[i].index == 1)
            return;
        cpuid->entries[i].flags |= KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        has_smt = true;
    }
    if (has_smt && cpuid->nent < KVM_CPUID_MAX)
        cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
            .function = function, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX
        };
}

/* AMD's 0x80000008 is Intel's too, where ECX is reserved. */
static bool is_intel(const struct kvm_cpuid2 *cpuid)
{
    for (uint32_t i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == 0)
            return cpuid->entries[i].ebx == 0x756e6547; /* "Genu" */
    return false;
}

/* Leaf 0x80000008: the processor's width, and in newer KVMs what its nested paging translates. */
unsigned kvm_cpuid_address_bits(const struct kvm_cpuid2 *supported)
{
    enum { BITS_WITHOUT_LEAF = 36 };

    for (uint32_t i = 0; i < supported->nent; i++) {
        uint32_t eax = supported->entries[i].eax;

        if (supported->entries[i].function != 0x80000008)
            continue;
        return (eax >> 16 & 0xff) != 0 ? MIN(eax & 0xff, eax >> 16 & 0xff) : eax & 0xff;
    }
    return BITS_WITHOUT_LEAF;
}

void kvm_cpuid_adjust(struct kvm_cpuid2 *cpuid, unsigned index,
                      const struct kvm_cpuid_wishes *wishes)
{
    bool intel = is_intel(cpuid);

    ensure_core_level(cpuid, 0xb);
    ensure_core_level(cpuid, 0x1f);
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

        if (intel && e->function >= 0x80000000)
            continue;
        adjust_entry(e, index, wishes);
    }
}
