/* SPDX-License-Identifier: Apache-2.0 */
/* group.h - an audit's look at a process's control group. */
#pragma once

#include "audit/findings.h"

/* Which one it is in, and whether the limits that the plan has are in force there. */
void audit_group(const struct audit_target *t);
