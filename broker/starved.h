/* SPDX-License-Identifier: Apache-2.0 */
/* starved.h - tells a silent process that hangs from one that the host does not let run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct starved {       /* zero-initialised; zero it again at each sign of life */
    uint64_t since_ns; /* when cpu_ns was read, 0: not yet */
    uint64_t cpu_ns;
};

/* First look at a process that is late: remembers how much it has run. */
void starved_begin(struct starved *s, pid_t pid, uint64_t now_ns);
/* True when since then it wanted to run and mostly could not, or waits for the disk in the kernel,
 * where no signal would end it sooner. A stopped, sleeping or spinning process is not starved. */
bool starved_check(struct starved *s, pid_t pid, uint64_t now_ns);
/* The time of a last sign of life, later by lost_ns in which we did not run ourselves; one that came
 * within them is not moved past now. */
static inline uint64_t starved_excuse(uint64_t seen_ns, uint64_t lost_ns, uint64_t now_ns)
{
    return lost_ns < now_ns - seen_ns ? seen_ns + lost_ns : now_ns;
}
