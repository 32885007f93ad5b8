/* SPDX-License-Identifier: Apache-2.0 */
/* vm.h - the audit of a whole VM. */
#pragma once

#include "audit/findings.h"

/* Audits until its processes hold still. EXIT_OK, or an exit status after one line of error; call
 * audit_deinit() either way. */
int audit_vm(const char *vm, struct audit *audit, size_t *ret_processes);
/* Findings by verdict. */
void audit_count(const struct audit *audit, size_t ret_counts[4]);

/* For an audit that nobody asked for: drift, and why it couldn't be made, go to stderr. What can't
 * be read is no drift; *ret_unreadable counts it, 0 if the audit failed. */
enum audit_outcome {
    AUDIT_PASSED,
    AUDIT_FOUND_DRIFT,
    AUDIT_FAILED,
};
enum audit_outcome audit_vm_quietly(const char *vm, size_t *ret_unreadable);
