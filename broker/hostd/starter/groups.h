/* SPDX-License-Identifier: Apache-2.0 */
/* groups.h - a control group for each VM beside the service's own, where the host delegates any; and how all of a VM's
 * processes are killed. */
#pragma once

#include <sys/types.h>
#include "base/compiler.h"
#include "hostd/starter/folders.h"

/* The group in which those of VMs are made: that beside the service's own which BULKHEAD_HOST_GROUP names, or the
 * service's own, and then the caller moves to one below it. -1: there is none. */
int groups_open_base(void);
/* cgroup.procs of the VM's group, which is made; -1: there is none. */
int groups_make_for(int base_fd, const char *tenant, const char *vm);
/* If nobody is in it. */
void groups_remove_of(int base_fd, const char *tenant, const char *vm);
/* SIGKILL to all of the VM's processes; broker: one of them, as far as is known, else 0. 0, or a negative errno with an
 * origin. */
int groups_kill_all(int base_fd, const char *tenant, const char *vm, pid_t broker) must_check;
