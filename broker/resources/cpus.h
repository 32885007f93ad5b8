/* SPDX-License-Identifier: Apache-2.0 */
/* cpus.h - which of the host's CPUs the processes of this control group may use. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "ipc/cpu_bits.h"

/* Those that run and that the group's cpuset has, whatever the caller itself is restricted to (taskset), since
 * a vCPU's thread may be pinned to others. 0, or a negative errno with an origin. */
int resources_host_cpus(uint8_t ret_bits[CPU_BITS_BYTES]) must_check;
