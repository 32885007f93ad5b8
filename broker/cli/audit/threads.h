/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h - an audit's look at the threads of a process. */
#pragma once

#include "audit/findings.h"

/* uid, gid, capabilities, no_new_privs, seccomp mode and program of every thread. */
void audit_threads(const struct audit_target *t);
