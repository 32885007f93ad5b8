// SPDX-License-Identifier: Apache-2.0
// machine_flags.c - the option tables of processors, memory and limits.
#include "options/machine_flags.h"
#include <stdio.h>
#include <string.h>
#include "ipc/cpu_bits.h"

#define MIB (1ull << 20)
/* What a command line for Cloud Hypervisor may say; see device_flags.c. */
#define ONLY(name, words) OPTION_ONE_OF(name, words)
#define NOT_YET(name) ONLY(name, NULL)
#define ONLY_OFF "off|false"

struct cpus_args {
    Bulkhead__CpusConfig config;
    uint32_t max;
    struct option_list affinity;
};
#define CPUS(field) offsetof(struct cpus_args, field)
static const struct option_spec cpus_specs[] = {
    { "boot", OPTION_U32, CPUS(config.boot_vcpus), 1, 64, "number of vCPUs, 1 to 64 (1)" },
    { "nested", OPTION_SWITCH, CPUS(config.nested), 0, 1, "let the guest use KVM itself" },
    { "affinity", OPTION_LIST, CPUS(affinity), 0, 0, "pin vCPUs to host CPUs: [0@[2-3],1@[4,6]]" },
    { "max", OPTION_U32, CPUS(max), 1, 1024, "the same as boot: vCPUs can't be added later yet" },
    ONLY("kvm_hyperv", ONLY_OFF),
    ONLY("core_scheduling", "off"),
    NOT_YET("max_phys_bits"),
    NOT_YET("topology"),
    NOT_YET("features"),
    NOT_YET("profile"),
};

/* "4" or "2-3" of an entry, which ends at `end`, into bits. */
static int add_range(const char *what, const char *entry, const char *part, const char *end,
                     uint8_t bits[CPU_BITS_BYTES], struct option_error *err)
{
    const char *dash = memchr(part, '-', (size_t)(end - part));
    char text[2][16] = { "" };
    uint64_t first, last;

    snprintf(text[0], sizeof(text[0]), "%.*s", (int)((dash ? dash : end) - part), part);
    if (dash)
        snprintf(text[1], sizeof(text[1]), "%.*s", (int)(end - dash - 1), dash + 1);
    if (option_u64(text[0], &first) < 0 || option_u64(text[dash ? 1 : 0], &last) < 0)
        return option_fail(err, "%s=%s: '%.*s' is no CPU of the host's, as 4 or 2-3", what, entry,
                           (int)(end - part), part);
    if (first > last)
        return option_fail(err, "%s=%s: %.*s runs backwards", what, entry, (int)(end - part), part);
    if (last >= CPU_BITS_MAX)
        return option_fail(err, "%s=%s: host CPU %llu is over %d", what, entry,
                           (unsigned long long)last, CPU_BITS_MAX - 1);
    for (unsigned cpu = (unsigned)first; cpu <= last; cpu++) {
        if (bits[cpu / 8] & 1u << cpu % 8)
            return option_fail(err, "%s=%s: host CPU %u is given twice", what, entry, cpu);
        cpu_bits_add(bits, cpu);
    }
    return 0;
}

/* "0@[2-3,6]"; the brackets may be left out around one CPU or range. */
static int add_affinity(struct vm_options *o, Bulkhead__CpusConfig *cpus, const char *entry,
                        struct option_error *err)
{
    Bulkhead__VcpuAffinity *a = bag_alloc(&o->bag, sizeof(*a));
    uint8_t *bits = bag_alloc(&o->bag, CPU_BITS_BYTES);
    const char *at = strchr(entry, '@'), *part = at ? at + 1 : entry, *end = part + strlen(part);
    void **all = (void **)cpus->affinity;
    uint64_t vcpu;

    bulkhead__vcpu_affinity__init(a);
    if (*part == '[' && end[-1] == ']') {
        part++;
        end--;
    }
    if (!at || option_u64(bag_strndup(&o->bag, entry, (size_t)(at - entry)), &vcpu) < 0 ||
        vcpu > UINT32_MAX || part == end)
        return option_fail(err, "--cpus: affinity=%s: is to be VCPU@[HOST CPUS], as in 0@[2-3,6]",
                           entry);
    while (part <= end) {
        const char *comma = memchr(part, ',', (size_t)(end - part));

        if (add_range("--cpus: affinity", entry, part, comma ? comma : end, bits, err) < 0)
            return -1;
        part = (comma ? comma : end) + 1;
    }
    a->vcpu = (uint32_t)vcpu;
    a->host_cpus.data = bits;
    a->host_cpus.len = cpu_bits_len(bits);
    bag_append(&o->bag, &all, &cpus->n_affinity, a);
    cpus->affinity = (Bulkhead__VcpuAffinity **)all;
    return 0;
}

int vm_cpus_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    struct cpus_args a = { .config = *o->config.cpus };
    unsigned boot;

    if (option_parse("--cpus", arg, cpus_specs, ARRAY_SIZE(cpus_specs), &a, &o->bag, NULL, err) < 0)
        return -1;
    boot = a.config.boot_vcpus ? a.config.boot_vcpus : 1;
    if (a.max != 0 && a.max < boot)
        return option_fail(err, "--cpus: max=%u is less than boot=%u", a.max, boot);
    if (a.max > boot)
        return option_fail(err,
                           "--cpus: max=%u with boot=%u is not supported yet: vCPUs can't be added "
                           "to a guest that runs; give boot=%u",
                           a.max, boot, a.max);
    if (a.affinity.n_items > 0) { /* in place of what a file says */
        a.config.affinity = NULL;
        a.config.n_affinity = 0;
    }
    for (size_t i = 0; i < a.affinity.n_items; i++)
        if (add_affinity(o, &a.config, a.affinity.items[i], err) < 0)
            return -1;
    *o->config.cpus = a.config;
    return 0;
}

#define MEMORY(field) offsetof(Bulkhead__MemoryConfig, field)
static const struct option_spec memory_specs[] = {
    { "size", OPTION_SIZE, MEMORY(size), 16 * MIB, 1ull << 40, "guest memory, 16M to 1T" },
    { "hugepages", OPTION_SWITCH, MEMORY(hugepages), 0, 1, "back it with 2 MiB pages" },
    { "prefault", OPTION_SWITCH, MEMORY(prefault), 0, 1, "touch all of it at start" },
    { "thp", OPTION_SWITCH, MEMORY(thp), 0, 1, "ask for transparent huge pages (on)" },
    ONLY("shared", "on|off|true|false"), /* it always is, with the processes of this VM alone */
    ONLY("mergeable", ONLY_OFF),
    ONLY("reserve", ONLY_OFF),
    ONLY("hugepage_size", "2M|2048K|2097152"),
    ONLY("hotplug_method", "acpi|virtio-mem"),
    ONLY("hotplug_size", "0"),
    ONLY("hotplugged_size", "0"),
};

int vm_memory_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    Bulkhead__MemoryConfig *m = o->config.memory;
    uint64_t unit;

    if (option_parse("--memory", arg, memory_specs, ARRAY_SIZE(memory_specs), m, &o->bag, NULL,
                     err) < 0)
        return -1;
    unit = m->hugepages ? 2 * MIB : PAGE_BYTES;
    if (m->size % unit != 0)
        return option_fail(err, "--memory: size=%llu is not a multiple of the page (%llu bytes)",
                           (unsigned long long)m->size, (unsigned long long)unit);
    return 0;
}

struct limits_args {
    Bulkhead__LimitsConfig config;
    struct option_list cpuset;
};
#define LIMITS(field) offsetof(struct limits_args, config.field)
static const struct option_spec limits_specs[] = {
    { "cpu_max", OPTION_PERCENT, LIMITS(cpu_max), 1, UINT32_MAX,
      "CPU time: 150% is of one and a half" },
    { "cpu_weight", OPTION_U32, LIMITS(cpu_weight), 1, UINT32_MAX,
      "share of CPUs that are busy, 1 to 10000 (100)" },
    { "memory_max", OPTION_SIZE, LIMITS(memory_max), 1, UINT64_MAX,
      "memory of all its processes, the guest's RAM included" },
    { "io_weight", OPTION_U32, LIMITS(io_weight), 1, UINT32_MAX,
      "share of disks that are busy, 1 to 10000 (100)" },
    { "pids_max", OPTION_U32, LIMITS(pids_max), 1, UINT32_MAX, "processes and threads in all" },
    { "cpuset", OPTION_LIST, offsetof(struct limits_args, cpuset), 0, 0,
      "host CPUs that all of it runs on: [0-3,8]" },
};

int vm_limits_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    struct limits_args a = { .config = BULKHEAD__LIMITS_CONFIG__INIT };
    uint8_t *bits;

    if (o->config.limits)
        a.config = *o->config.limits;
    else
        o->config.limits = bag_alloc(&o->bag, sizeof(*o->config.limits));
    *o->config.limits = a.config;
    if (option_parse("--limits", arg, limits_specs, ARRAY_SIZE(limits_specs), &a, &o->bag, NULL,
                     err) < 0)
        return -1;
    if (a.cpuset.n_items > 0) {
        bits = bag_alloc(&o->bag, CPU_BITS_BYTES);
        for (size_t i = 0; i < a.cpuset.n_items; i++) {
            const char *item = a.cpuset.items[i];

            if (add_range("--limits: cpuset", item, item, item + strlen(item), bits, err) < 0)
                return -1;
        }
        a.config.cpuset.data = bits;
        a.config.cpuset.len = cpu_bits_len(bits);
    }
    *o->config.limits = a.config;
    return 0;
}

const struct option_flag vm_machine_flags[VM_MACHINE_FLAGS] = {
    { "--cpus", cpus_specs, ARRAY_SIZE(cpus_specs) },
    { "--memory", memory_specs, ARRAY_SIZE(memory_specs) },
    { "--limits", limits_specs, ARRAY_SIZE(limits_specs) },
};
