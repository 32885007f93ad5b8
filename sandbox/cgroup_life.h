/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_life.h - a group that has an owner: made under a name that nobody has, removed whole at
 * its end, swept when its owner was killed. The owner is whoever has the lock on its directory. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"

/* Makes the group `name` below base, for groups to be made in it. It is the caller's as long as any
 * process has *ret_fd open, its directory. -EEXIST: there is one of that name, whoever's. */
int sandbox_cgroup_claim(int base_fd, const char *name, int *ret_fd) must_check;
/* The end of a claimed group, fd its directory, kill_fd of sandbox_cgroup_open_kill(): kills all in it and removes it with all groups
 * below, however long their processes take to die (up to 5 s). Does nothing if that was done, also
 * if another group has its name by now. */
int sandbox_cgroup_end(int base_fd, const char *name, int fd, int kill_fd) must_check;
/* Removes the groups below base that were claimed under a name for which `is_ours` holds, by
 * somebody who was killed, unless there are processes in them. */
void sandbox_cgroup_sweep(int base_fd, bool (*is_ours)(const char *name));
