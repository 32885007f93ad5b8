/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - control groups (v2) for children, as far as the host delegates them. Best effort:
 * what can't be had is reported, never fatal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"

enum { SANDBOX_CGROUP_E_NONE = 1 }; /* positive: no writable cgroup v2 here */
/* Kinds of limits. */
enum {
    SANDBOX_CGROUP_PIDS = 1,
    SANDBOX_CGROUP_MEMORY = 2,
    SANDBOX_CGROUP_CPU = 4,
    SANDBOX_CGROUP_IO = 8,
    SANDBOX_CGROUP_CPUSET = 16,
};

/* *ret_base_fd: the directory of this process's own cgroup, writable; owned by the caller.
 * ret_path (size bytes): its path from the hierarchy's root, "/" or without a slash at its end. */
int sandbox_cgroup_find(int *ret_base_fd, char *ret_path, size_t size) must_check;
/* The directory of that process's cgroup, to be read; owned by the caller. SANDBOX_CGROUP_E_NONE: it has none
 * that can be seen from here. */
int sandbox_cgroup_open(pid_t pid, int *ret_fd) must_check;
/* The first line of that file of the group, without its end; 0, or a negative errno. */
int sandbox_cgroup_read(int group_fd, const char *file, char *dst, size_t size) must_check;
/* All of it, as far as it fits. */
int sandbox_cgroup_read_all(int group_fd, const char *file, char *dst, size_t size) must_check;
/* The kinds of limits that the groups below that one can have: SANDBOX_CGROUP_* bits. */
unsigned sandbox_cgroup_controllers(int group_fd);

/* Hands the pids and memory controllers down from base to the groups made in it. Where processes in
 * base itself forbid that (the root aside) and these are the caller alone, or with its parent, as in a
 * service of their own, they move to the group `leaf` below it, which stays as long as they live. */
void sandbox_cgroup_delegate(int base_fd, const char *leaf);
/* The same for controllers of the caller's choice (SANDBOX_CGROUP_* bits), of a base that has been through that. */
void sandbox_cgroup_hand_down(int base_fd, unsigned controllers);
/* Undoes that for the caller alone, whom a child of its has moved to `leaf`. Does nothing if it has not. */
void sandbox_cgroup_undelegate(int base_fd, const char *leaf);

struct sandbox_cgroup_limits {
    uint64_t pids_max; /* of these, 0: not set */
    /* From here on those in it are made to wait, also for what can't wait while it is allocated. */
    uint64_t memory_high_bytes;
    /* Beyond this the kernel kills, but lets pass what can't wait, and then without high's wait. */
    uint64_t memory_max_bytes;
};

/* The kernel's own files in a group are named like that ("memory.max"), those of later kernels too. */
bool sandbox_cgroup_is_kernels(const char *name);
/* Makes the group `name` below a group of the caller's, or takes one of that name that is there.
 * *ret_fd: its directory, for sandbox_spawn.cgroup_fd; *ret_in_force: SANDBOX_CGROUP_* bits of what is set, each only if
 * all limits of that kind are. */
int sandbox_cgroup_create(int base_fd, const char *name, const struct sandbox_cgroup_limits *limits,
                          int *ret_fd, unsigned *ret_in_force) must_check;
/* Into a file of the group's; 0, or a negative errno. */
int sandbox_cgroup_write(int group_fd, const char *file, const char *text) must_check;
/* What kills all in the group fd when it is written to, or negative (before Linux 5.14). */
int sandbox_cgroup_open_kill(int fd) must_check;
int sandbox_cgroup_kill(int kill_fd) must_check;
/* -EBUSY while a process is in it. */
int sandbox_cgroup_remove(int base_fd, const char *name) must_check;
