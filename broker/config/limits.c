/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - see limits.h. */
#include "config/limits.h"

#include <string.h>

enum {
    SPARE_BYTES = 64 << 20,
    DEVICE_BYTES = 4 << 20,
    PASST_BYTES = 64 << 20,
    TASKS = 8, /* of a process, beside vCPUs */
    MAX_WEIGHT = 10000,
    MAX_CPU_PERCENT = 1024 * 100,
};

uint64_t limits_process_memory(const Bulkhead__VmConfig *c)
{
    const uint64_t ram = c->memory->size;

    return align_up(ram + ram / 64 + SPARE_BYTES, PAGE_BYTES);
}

static unsigned count_passt(const Bulkhead__VmConfig *c)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->n_nets; i++)
        n += strcmp(c->nets[i]->mode, "user") == 0;
    return n;
}

static unsigned count_devices(const Bulkhead__VmConfig *c)
{
    return (unsigned)(c->n_disks + c->n_nets) + (c->rng->enabled ? 1 : 0) +
           (c->vsock->enabled ? 1 : 0) + (c->balloon->enabled ? 1 : 0) +
           (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF ? 1 : 0) +
           (c->serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF ? 1 : 0);
}

/* Huge pages are counted by another controller. */
static uint64_t memory_needed(const Bulkhead__VmConfig *c)
{
    return limits_process_memory(c) - (c->memory->hugepages ? c->memory->size : 0) +
           (uint64_t)count_devices(c) * DEVICE_BYTES + (uint64_t)count_passt(c) * PASST_BYTES;
}

static int check_weight(const char *option, uint32_t weight, struct fault *f)
{
    if (weight > MAX_WEIGHT)
        return fault_input(f, "--limits %s=%u: give 1 to %d; others have 100", option, weight,
                           MAX_WEIGHT);
    return 0;
}

int validate_limits(const Bulkhead__VmConfig *c, struct fault *f)
{
    const Bulkhead__LimitsConfig *l = c->limits;
    const uint64_t memory = memory_needed(c);
    const unsigned tasks = c->cpus->boot_vcpus + TASKS * (1 + count_devices(c) + count_passt(c));

    if (l->cpu_max > MAX_CPU_PERCENT)
        return fault_input(f, "--limits cpu_max=%u%%: give at most %d%%, where 100%% is one CPU",
                           l->cpu_max, MAX_CPU_PERCENT);
    if (check_weight("cpu_weight", l->cpu_weight, f) < 0 ||
        check_weight("io_weight", l->io_weight, f) < 0)
        return -EINVAL;
    if (l->memory_max != 0 && l->memory_max < memory)
        return fault_input(f,
                           "--limits memory_max=%lluM: the guest's RAM, what maps it and its "
                           "devices need %lluM: give at least that",
                           (unsigned long long)l->memory_max >> 20,
                           (unsigned long long)(memory + (1 << 20) - 1) >> 20);
    if (l->pids_max != 0 && l->pids_max < tasks)
        return fault_input(f,
                           "--limits pids_max=%u: its vCPUs and devices may need %u: give at "
                           "least that",
                           l->pids_max, tasks);
    return 0;
}
