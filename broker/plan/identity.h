/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h - what this host and the caller's rights allow the processes of a VM. */
#pragma once

#include "config/fault.h"
#include "plan/plan.h"

/* Does each process get a uid of its own? Root does, of a user namespace only if that has the pool. */
bool host_has_uids(void);
/* What the broker is, to the kernel. userns_error: 0, or the negative errno of
 * sandbox_try_userns(). Reads /proc; the cgroup is left to the caller. */
void host_look(int userns_error, struct plan_host *ret_host);
/* Of the process in that uid slot, and its gid where the host is root's. */
uint32_t host_uid(const struct plan_host *host, unsigned uid_slot);
/* Refuses, with what to do, a VM that can't have its mandatory layers here, or whose passt can't
 * run. 0, or a negative errno. */
int host_check(const Bulkhead__VmConfig *config, const struct plan_host *host,
               struct fault *f) must_check;
