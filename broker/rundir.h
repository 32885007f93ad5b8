/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.h - where a running VM is found: <base>/<name>/control.sock. base is $BULKHEAD_RUNDIR,
 * else /run/bulkhead for root, $XDG_RUNTIME_DIR/bulkhead, or /run/user/UID/bulkhead, all mode 0700.
 * A lock file tells a running VM's directory from one that a crash left behind. */
#pragma once

#include "base/compiler.h"
#include "fault.h"

enum { RUNDIR_PATH_MAX = 108 - 16 };

struct rundir {
    char path[RUNDIR_PATH_MAX]; /* "": none */
    int lock_fd;
    int listen_fd;
};

void rundir_init(struct rundir *rundir);
/* Makes the directory, takes its lock, listens. */
int rundir_open(struct rundir *rundir, const char *vm_name, struct fault *ret_fault) must_check;
/* Removes all of it. */
void rundir_close(struct rundir *rundir);
