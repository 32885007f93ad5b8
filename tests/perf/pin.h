/* SPDX-License-Identifier: Apache-2.0 */
/* pin.h - what the benchmarks share: processes on a CPU of their own. */
#pragma once

#include <sys/types.h>

/* One thread; 0: the caller. */
void pin(pid_t tid, int cpu);
/* All threads that a process has now. */
void pin_threads(pid_t pid, int cpu);
