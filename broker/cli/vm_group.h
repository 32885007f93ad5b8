/* SPDX-License-Identifier: Apache-2.0 */
/* vm_group.h - the control group of a whole VM, seen from its core. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Its directory, owned by the caller; -1: it has none, or none that can be seen from here. */
int vm_group_open(pid_t core);
/* What /proc/PID/cgroup says is a core's place in a group of its VM's. */
bool vm_group_is_cores(const char *proc_cgroup);
