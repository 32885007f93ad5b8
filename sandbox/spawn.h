/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - between spawn.c (the parent) and spawn_child.c (the clone, up to exec). */
#pragma once

#include <stdbool.h>
#include "sandbox.h"

struct spawn_child {
    const struct sandbox_spawn *spawn;
    int program_fd;
    int go_fd;    /* one byte: the id maps are written */
    int error_fd; /* struct spawn_error, or end of file at exec */
    bool in_userns;
    bool no_userns;  /* capabilities are given up here, before exec */
    bool empty_root; /* and the host's root too */
};

enum spawn_step {
    SPAWN_STEP_WAIT,
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
