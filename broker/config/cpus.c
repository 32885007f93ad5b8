/* SPDX-License-Identifier: Apache-2.0 */
/* cpus.c - see cpus.h. */
#include "config/cpus.h"

#include "ipc/cpu_bits.h"
#include "shm/layout.h"

enum { SHOWN_BYTES = 80 };

/* The first CPU that the guest is to have and the host has not, or CPU_BITS_MAX. */
static unsigned find_missing(const ProtobufCBinaryData *want, const ProtobufCBinaryData *host_cpus)
{
    unsigned cpu = 0;

    while (cpu < CPU_BITS_MAX && (!cpu_bits_has(want, cpu) || cpu_bits_has(host_cpus, cpu)))
        cpu++;
    return cpu;
}

static int check_affinity(const Bulkhead__CpusConfig *cpus, const Bulkhead__VcpuAffinity *a,
                          const ProtobufCBinaryData *host_cpus, struct fault *f)
{
    char shown[SHOWN_BYTES];
    unsigned cpu;

    if (a->vcpu >= cpus->boot_vcpus)
        return fault_input(f, "--cpus affinity=: there is no vCPU %u: the guest has %u, from 0 on",
                           a->vcpu, cpus->boot_vcpus);
    if (a->host_cpus.len > CPU_BITS_BYTES)
        return fault_input(f, "--cpus affinity=: vCPU %u is given a host CPU over %d", a->vcpu,
                           CPU_BITS_MAX - 1);
    if (cpu_bits_say(&a->host_cpus, shown, sizeof shown)[0] == '\0')
        return fault_input(f,
                           "--cpus affinity=: vCPU %u is given no CPU of the host's: give one, or "
                           "leave it out to have it run on any",
                           a->vcpu);
    cpu = host_cpus ? find_missing(&a->host_cpus, host_cpus) : CPU_BITS_MAX;
    if (cpu < CPU_BITS_MAX)
        return fault_input(f,
                           "--cpus affinity=: vCPU %u can't run on host CPU %u: those that can be "
                           "used here are %s",
                           a->vcpu, cpu, cpu_bits_say(host_cpus, shown, sizeof shown));
    return 0;
}

int validate_cpus(const Bulkhead__CpusConfig *cpus, const ProtobufCBinaryData *host_cpus,
                  struct fault *f)
{
    if (cpus->boot_vcpus == 0)
        return fault_input(f, "0 CPUs: give --cpus boot=N with N from 1 to %d", LAYOUT_MAX_VCPUS);
    if (cpus->boot_vcpus > LAYOUT_MAX_VCPUS)
        return fault_input(f, "%u CPUs are over the limit: use at most %d", cpus->boot_vcpus,
                           LAYOUT_MAX_VCPUS);
    for (size_t i = 0; i < cpus->n_affinity; i++) {
        if (check_affinity(cpus, cpus->affinity[i], host_cpus, f) < 0)
            return -EINVAL;
        for (size_t j = 0; j < i; j++)
            if (cpus->affinity[j]->vcpu == cpus->affinity[i]->vcpu)
                return fault_input(f, "--cpus affinity=: vCPU %u is given twice: name each once",
                                   cpus->affinity[i]->vcpu);
    }
    return 0;
}

int validate_cpuset(const Bulkhead__LimitsConfig *limits, const Bulkhead__CpusConfig *cpus,
                    const ProtobufCBinaryData *host_cpus, struct fault *f)
{
    char shown[SHOWN_BYTES];
    unsigned cpu;

    if (limits->cpuset.len == 0)
        return 0;
    if (limits->cpuset.len > CPU_BITS_BYTES)
        return fault_input(f, "--limits cpuset=: a host CPU over %d", CPU_BITS_MAX - 1);
    if (cpu_bits_say(&limits->cpuset, shown, sizeof shown)[0] == '\0')
        return fault_input(f, "--limits cpuset=: no CPU of the host's: name one, or leave it out");
    cpu = host_cpus ? find_missing(&limits->cpuset, host_cpus) : CPU_BITS_MAX;
    if (cpu < CPU_BITS_MAX)
        return fault_input(
            f, "--limits cpuset=: host CPU %u can't be used here: those that can are %s", cpu,
            cpu_bits_say(host_cpus, shown, sizeof shown));
    for (size_t i = 0; i < cpus->n_affinity; i++) {
        cpu = find_missing(&cpus->affinity[i]->host_cpus, &limits->cpuset);
        if (cpu < CPU_BITS_MAX)
            return fault_input(f,
                               "--limits cpuset=%s: vCPU %u is pinned to host CPU %u, which is not "
                               "among them",
                               cpu_bits_say(&limits->cpuset, shown, sizeof shown),
                               cpus->affinity[i]->vcpu, cpu);
    }
    return 0;
}
