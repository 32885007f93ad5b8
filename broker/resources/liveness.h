/* SPDX-License-Identifier: Apache-2.0 */
/* liveness.h - tells a silent process that hangs from one that the host does not let run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct starved {       /* zero-initialised; zero it again at each sign of life */
    uint64_t since_ns; /* when cpu_ns was read, 0: not yet */
    uint64_t cpu_ns;
};

/* What a silent process waits for, as the host's kernel puts it. */
enum starved_of {
    STARVED_OF_NOTHING, /* it hangs: is stopped, sleeps or spins */
    STARVED_OF_CPU,     /* since the first look it wanted to run and mostly could not */
    STARVED_OF_DISK,    /* it waits in the kernel, where no signal would end it sooner */
};

struct starved_limits {
    uint64_t hang_ns;  /* silence for no reason */
    uint64_t stall_ns; /* silence while the host's disk doesn't answer */
};
/* To be asked at each tick of a process silent for silent_ns, stat_fd its /proc/PID/stat (-1: nothing is
 * known): whether it is to be replaced now.
 * *ret_of says what it waits for, STARVED_OF_NOTHING within the first limit. */
bool starved_too_long(struct starved *s, int stat_fd, uint64_t silent_ns, uint64_t now_ns,
                      const struct starved_limits *limits, enum starved_of *ret_of);
/* The time of a last sign of life, later by lost_ns in which we did not run ourselves; one that came
 * within them is not moved past now. */
static inline uint64_t starved_excuse(uint64_t seen_ns, uint64_t lost_ns, uint64_t now_ns)
{
    return lost_ns < now_ns - seen_ns ? seen_ns + lost_ns : now_ns;
}
