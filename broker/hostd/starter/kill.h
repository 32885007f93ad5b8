/* SPDX-License-Identifier: Apache-2.0 */
/* kill.h - the end of all of a VM's processes, with a control group or without. */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "hostd/starter/groups.h"

struct place;

/* SIGKILL to all of the VM's processes, which are there. Its spawner comes last, when the others are dead: it holds what the VM
 * has claimed. session: of session.h; 0: not known. Waits up to 5 s. 0; -ESRCH: none were found; -EBUSY: some don't die. */
int kill_now(const struct service_groups *groups, const char *tenant, const char *vm,
             pid_t session) must_check;
/* The same in a process of its own, which outlives the starter; `id` is told DONE then. 0, or a negative errno with an origin. */
int kill_begin(struct place *place, uint32_t id) must_check;
