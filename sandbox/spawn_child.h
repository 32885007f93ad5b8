/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_child.h - what the clone does, up to exec, for spawn.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "sandbox/seccomp.h"

/* The pointers and descriptors are the clone's copies of the parent's. */
struct spawn_child {
    char *const *argv;
    char *const *envp; /* NULL: empty environment */
    const int *fds;    /* fds[i] becomes descriptor i */
    unsigned n_fds;
    uint32_t uid, gid;                   /* host ids; 0: the caller's */
    const struct sandbox_filter *filter; /* put on before exec; NULL: none */
    int program_fd;
    int go_fd;    /* one byte: the id maps are written */
    int error_fd; /* struct spawn_error, or end of file at exec */
    bool in_userns;
    bool no_userns;
    bool empty_root; /* the host's root is left here, before exec */
    bool no_caps;    /* and capabilities are given up */
};

enum spawn_step {
    SPAWN_STEP_WAIT,
    SPAWN_STEP_MAPS, /* the parent's */
    SPAWN_STEP_ROOT,
    SPAWN_STEP_IDS,
    SPAWN_STEP_CAPS,
    SPAWN_STEP_FDS,
    SPAWN_STEP_FILTER,
    SPAWN_STEP_EXEC,
};

struct spawn_error {
    enum spawn_step step;
    int error; /* errno value */
};

/* Runs in the clone, where the parent had one thread. */
_Noreturn void spawn_child_run(const struct spawn_child *child);
