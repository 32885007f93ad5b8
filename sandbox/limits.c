/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - resource limits, soft and hard, and no memory that is both written and run. */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/err.h"
#include "layers.h"

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

int limits_data_now(uint64_t *ret_bytes)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;
    int n;

    if (!f)
        return err_origin(-errno, "/proc/self/statm");
    n = fscanf(f, "%*u %*u %*u %*u %*u %lu", &pages);
    fclose(f);
    if (n != 1)
        return err_origin(-EIO, "/proc/self/statm");
    *ret_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
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
