/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - see limits.h. */
#include "sandbox/limits.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/err.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static int set_limit(__rlimit_resource_t what, uint64_t value, const char *name)
{
    struct rlimit limit = { .rlim_cur = value, .rlim_max = value };
    struct rlimit now;

    /* Only ever lower: an unprivileged broker may have less than we would set. */
    if (getrlimit(what, &now) < 0)
        return err_origin(-errno, "%s", name);
    if (now.rlim_max < value)
        limit.rlim_cur = limit.rlim_max = now.rlim_max;
    if (setrlimit(what, &limit) < 0)
        return err_origin(-errno, "%s", name);
    return 0;
}

int limits_no_new_threads(void)
{
    return set_limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC");
}

int limits_no_core(void)
{
    return set_limit(RLIMIT_CORE, 0, "RLIMIT_CORE");
}

/* Of /proc/self/statm, a field in pages; false where there is none. */
static bool read_now(__rlimit_resource_t what, uint64_t *ret_bytes)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages[6];
    int n;

    if (!f)
        return false;
    n = fscanf(f, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4],
               &pages[5]);
    fclose(f);
    *ret_bytes = (uint64_t)pages[what == RLIMIT_AS ? 0 : 5] * PAGE_BYTES;
    return n == 6;
}

static bool heap_may_grow(__rlimit_resource_t what, const struct rlimit *most, uint64_t limit_bytes)
{
    struct rlimit limit = { .rlim_cur = limit_bytes, .rlim_max = most->rlim_max };

    if (setrlimit(what, &limit) < 0 || sbrk(PAGE_BYTES) == (void *)-1)
        return false;
    (void)sbrk(-(intptr_t)PAGE_BYTES);
    return true;
}

/* In a root without /proc the kernel is asked by the limit itself: the least under which the heap still
 * grows by a page. */
static int find_now(__rlimit_resource_t what, const char *name, uint64_t *ret_bytes)
{
    struct rlimit most;
    uint64_t low = 1, high;

    if (getrlimit(what, &most) < 0)
        return err_origin(-errno, "%s", name);
    high = MIN((uint64_t)most.rlim_max, UINT64_C(1) << 47) / PAGE_BYTES;
    if (!heap_may_grow(what, &most, high * PAGE_BYTES))
        return err_origin(-ENOMEM, "the heap can't grow by a page");
    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (heap_may_grow(what, &most, middle * PAGE_BYTES))
            high = middle;
        else
            low = middle + 1;
    }
    if (setrlimit(what, &most) < 0)
        return err_origin(-errno, "%s", name);
    *ret_bytes = high * PAGE_BYTES;
    return 0;
}

int limits_data_now(uint64_t *ret_bytes)
{
    return read_now(RLIMIT_DATA, ret_bytes) ? 0 : find_now(RLIMIT_DATA, "RLIMIT_DATA", ret_bytes);
}

int limits_addresses_now(uint64_t *ret_bytes)
{
    return read_now(RLIMIT_AS, ret_bytes) ? 0 : find_now(RLIMIT_AS, "RLIMIT_AS", ret_bytes);
}

int limits_enter(const struct limits_plan *plan)
{
    const struct {
        __rlimit_resource_t what;
        const char *name;
        uint64_t value;
        bool set;
    } table[] = {
        { RLIMIT_CORE, "RLIMIT_CORE", 0, true }, /* a core file would hold guest memory */
        { RLIMIT_NOFILE, "RLIMIT_NOFILE", plan->max_files, true },
        { RLIMIT_FSIZE, "RLIMIT_FSIZE", plan->file_bytes,
          plan->file_bytes != SANDBOX_FILE_UNLIMITED },
        { RLIMIT_NPROC, "RLIMIT_NPROC", 0, plan->no_new_threads },
        /* Rings and buffers are registered before; nothing is locked afterwards. */
        { RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", 0, true },
        { RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", 0, true },
        { RLIMIT_NICE, "RLIMIT_NICE", 0, true },
        { RLIMIT_RTPRIO, "RLIMIT_RTPRIO", 0, true },
#ifndef BH_SANITIZED /* shadow memory is terabytes of it */
        /* A program that was taken over can't exhaust the host's memory by its heap or its stack,
         * also where no cgroup limits it. */
        { RLIMIT_DATA, "RLIMIT_DATA", plan->data_bytes, plan->data_bytes != 0 },
        { RLIMIT_STACK, "RLIMIT_STACK", SANDBOX_STACK_BYTES, true },
        /* One that may map guest RAM can't do that again and again, until page tables fill the host. */
        { RLIMIT_AS, "RLIMIT_AS", plan->address_bytes, plan->address_bytes != 0 },
#endif
    };

    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        int r = table[i].set ? set_limit(table[i].what, table[i].value, table[i].name) : 0;

        if (r < 0)
            return err_trace(r);
    }
    return 0;
}

int limits_no_exec_memory(void)
{
#ifndef BH_SANITIZED
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
        return err_origin(-errno, "memory-deny-write-execute (Linux 6.3)");
#endif
    return 0;
}
