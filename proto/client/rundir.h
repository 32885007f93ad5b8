/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.h - where a running VM is found: BASE/NAME/control.sock. BASE is $BULKHEAD_RUNDIR, else
 * /run/bulkhead for root, else $XDG_RUNTIME_DIR/bulkhead, else /run/user/UID/bulkhead. The broker
 * makes these directories, its clients look into them: both by this rule. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"

enum {
    RUNDIR_MAX_VMS = 256,
    RUNDIR_NAME_BYTES = 64,  /* a VM's name with its NUL */
    RUNDIR_PATH_BYTES = 512, /* of BASE/NAME. No sockaddr_un has room for it: rundir_connect() */
};
#define RUNDIR_SOCKET "control.sock"
#define RUNDIR_LOCK "lock" /* locked by the VM's broker and spawner as long as there is a VM */

/* BASE; 0, or -ENAMETOOLONG. */
int rundir_base(char *dst, size_t size) must_check;
/* BASE/NAME; 0, or -ENAMETOOLONG. */
int rundir_path(char *dst, size_t size, const char *vm_name) must_check;
/* Connects a SOCK_SEQPACKET socket to that VM's command socket; negative errno. */
int rundir_connect(const char *vm_name, int fd) must_check;
/* The names of the VMs that have a socket there, sorted; their number (0 when there is no BASE), at
 * most max. */
size_t rundir_list(char (*names)[RUNDIR_NAME_BYTES], size_t max);
/* Opens BASE/NAME/lock for reading; negative errno. */
int rundir_open_lock(const char *vm_name) must_check;
/* Whether there is a VM of that name, were it one whose broker doesn't answer. True where it can't be seen. */
bool rundir_is_held(const char *vm_name);
