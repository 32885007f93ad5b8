/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - an audit's look at the process as a whole. */
#pragma once

#include "audit/findings.h"

/* Namespaces, root, limits, cgroup, dumpable. */
void audit_process(const struct audit_target *t);
/* Each planned namespace's inode must be this process's alone. */
void audit_shared_namespaces(struct audit *audit, const struct audit_target *targets, size_t n);
/* Mappings of guest RAM, and memory that is writable and executable. */
void audit_memory(const struct audit_target *t);
