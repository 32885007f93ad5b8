/* SPDX-License-Identifier: Apache-2.0 */
/* binary.h - an audit's look at the program of a process. */
#pragma once

#include "audit/findings.h"

/* Hardening of the executable file. */
void audit_binary(const struct audit_target *t);
