/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - one start, once it is allowed: arguments, descriptors and sandbox of the child. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "sandbox/spawn.h"
#include "spawner/rings.h"
#include "spawner/wire.h"

struct exec_order {
    const struct spawner_slot *slot;
    uint32_t uid;                     /* and gid; 0: the caller's */
    const struct held_ring *ring;     /* the child's own; NULL: none */
    const struct held_ring *old_ring; /* of the dead one before it; NULL: none */
    int no_ring_error;                /* why there is none although the slot has one; 0: else */
    int null_fd, log_fd, control_fd;
    int cgroup_fd; /* -1: none */
    int program_fd;
    bool handed_over; /* by the broker: behind sandbox_filter_start */
    bool no_userns;   /* see sandbox_spawn() */
};

/* The child's argv, until the next call. */
char **exec_arguments(const struct exec_order *order);
/* All descriptors stay the caller's. */
int exec_begin(const struct exec_order *order, struct sandbox_spawning *ret_spawning) must_check;
