/* SPDX-License-Identifier: Apache-2.0 */
/* groups.h - a control group for each VM beside the service's own, where the host delegates any; */
#pragma once

#include <stdbool.h>
#include "hostd/starter/folders.h"

struct service_groups {
    int base_fd; /* in which those of VMs are made; -1: there is none */
    /* The service's folder of run directories, by which its VMs' groups are told from those of another service. */
    unsigned long long dev, ino;
};

/* In that beside the service's own which BULKHEAD_HOST_GROUP names, or in the service's own, and then the caller moves to
 * one below it. */
void groups_open(struct service_groups *ret_groups, const struct folders *folders);
/* cgroup.procs of the VM's group, which is made; -1: there is none. */
int groups_make_for(const struct service_groups *groups, const char *tenant, const char *vm);
/* If nobody is in it. */
void groups_remove_of(const struct service_groups *groups, const char *tenant, const char *vm);
/* Of VMs that ended when no starter was there, or that an earlier one had started: those of the service in which nobody is. */
void groups_sweep(const struct service_groups *groups, const struct folders *folders);
/* SIGKILL to all in it. False: there is none. */
bool groups_kill_of(const struct service_groups *groups, const char *tenant, const char *vm);
