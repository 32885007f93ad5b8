/* SPDX-License-Identifier: Apache-2.0 */
/* fds.h - an audit's look at the descriptors of a process. */
#pragma once

#include "audit/findings.h"

/* Descriptors by number, type, target and access mode. */
void audit_fds(const struct audit_target *t);
