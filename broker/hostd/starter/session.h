/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - the session and process group that a VM's first broker makes. Its spawner and each broker after it are in it,
 * and have no call to leave it. The starter writes its number down when it makes it: so it needs nobody's answer to
 * find it, the first broker may be dead, and /proc may hide who is in it. */
#pragma once

#include <sys/types.h>
#include "base/compiler.h"
#include "hostd/starter/folders.h"

/* Of a broker that was just started. 0, or a negative errno with an origin. */
int session_write(const struct folders *folders, const char *tenant, const char *vm,
                  pid_t broker) must_check;
/* Of a VM that is there: as long as anybody of it holds its run directory the number is nobody else's. 0: it is not known,
 * or another process has it by now. */
pid_t session_read(const struct folders *folders, const char *tenant, const char *vm);

/* What /proc/PID/stat says; -1: nothing, or not to us. proc_fd: that /proc; -1: the one that is mounted. */
int session_stat(int proc_fd, pid_t pid, pid_t *ret_parent, unsigned long long *ret_start);
