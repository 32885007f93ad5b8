/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups.h - the control groups (v2) of a VM: one below the broker's own, a child of it for each
 * process. Where the host delegates none, all of this does nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "sandbox/cgroup.h"

enum { GROUPS_PATH_BYTES = 512, GROUPS_NAME_BYTES = 40 };

struct groups {
    int base_fd; /* the group the VM's is made in; -1: there are none */
    int vm_fd;
    bool base_competes; /* it is of this VM alone, and so weights are its: a service's VM */
    unsigned limits;    /* SANDBOX_CGROUP_* bits: what can be limited in it */
    int kill_fd;        /* open for writing, of the VM's: kills all in it; -1: this kernel can't */
    char name[GROUPS_NAME_BYTES]; /* of the VM's group */
    char path[GROUPS_PATH_BYTES]; /* of the VM's group, from the hierarchy's root; "": none */
};

/* Makes the VM's group, "bulkhead-" and the pid, with a number behind that if the name is taken.
 * First removes such groups of VMs whose broker and spawner were both killed. Never fails: without
 * a group path is "". */
void groups_make(struct groups *groups, pid_t broker_pid);
/* Sets a limit of the whole VM, for which that controller (SANDBOX_CGROUP_*) is handed down to its group if it can be. 0, or a
 * negative errno: it can't be set; `limits` says whether the controller is there. */
int groups_limit(struct groups *groups, unsigned controller, const char *file,
                 const char *value) must_check;
/* Closes what is open and leaves the groups to another process that has them. */
void groups_close(struct groups *groups);

/* A group for one process, with its limits as far as the host lets controllers down to it. 0 with its
 * directory, owned by the caller, or -1 where there are no groups, and in *ret_missing the SANDBOX_LAYER_CGROUP* that
 * can't be had; or a negative errno with an origin. */
int groups_add(struct groups *groups, const char *name, const struct sandbox_cgroup_limits *limits,
               int *ret_fd, unsigned *ret_missing) must_check;
/* Does nothing while a process is in it: an upgrade has two in one group. An error that is to be said stays. */
void groups_remove(struct groups *groups, const char *name);
/* Kills what may be left in the VM's group, closes what is open, and leaves the removal to another process
 * that has it, or to the next VM. */
void groups_kill(struct groups *groups);
/* Kills what may be left below the VM's group, and removes all of it. May be called in each
 * process that has it. */
void groups_end(struct groups *groups);
