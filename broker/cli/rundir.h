/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.h - where running VMs are found: RUNDIR/NAME/control.sock. RUNDIR is $BULKHEAD_RUNDIR,
 * else /run/bulkhead for root, else $XDG_RUNTIME_DIR/bulkhead, else /run/user/UID/bulkhead. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"

enum { RUNDIR_MAX_VMS = 256, RUNDIR_NAME_BYTES = 64 };

/* 0, or -ENAMETOOLONG. */
int rundir_path(char *dst, size_t size) must_check;
/* The names of the VMs that have a directory there, sorted; their number (0 when there is no
 * directory), at most max. */
size_t rundir_list(char (*names)[RUNDIR_NAME_BYTES], size_t max);
