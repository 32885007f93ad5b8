/* SPDX-License-Identifier: Apache-2.0 */
/* findings.h - what an audit finds: the plan of a process against what the kernel says of it. Each part
 * adds findings; none stops at the first. What can't be read (another user's process) is said, not guessed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "client.pb-c.h"

enum audit_verdict {
    AUDIT_OK,
    AUDIT_DRIFT,
    AUDIT_UNREADABLE,
    AUDIT_NOTE, /* worth knowing, not against the plan */
};

struct audit_finding {
    enum audit_verdict verdict;
    char process[64];
    char check[24];
    char text[320];
};

struct audit {
    struct audit_finding *findings; /* heap */
    size_t n_findings;
    unsigned
        inherited; /* filters that each had before it had one of ours: a container's, a service's */
    bool gone;     /* a process ended while it was looked at: the audit must be repeated */
};

struct audit_target {
    struct audit *audit;
    const Bulkhead__ProcessPlan *plan;
    pid_t pid;
    uint32_t uid, gid; /* the plan's, or those of an upgraded worker */
    pid_t broker;      /* whose namespaces nobody else may share */
    uint64_t caps;     /* of the broker: what it may have */
    bool child;        /* one of ours in a sandbox: not broker, spawner or passt */
};

void audit_add(const struct audit_target *t, enum audit_verdict verdict, const char *check,
               const char *fmt, ...) printf_like(4, 5);
/* For a file of /proc/PID that can't be read: unreadable, hidden from us, or gone. */
void audit_unreadable(const struct audit_target *t, const char *check, int error);
void audit_deinit(struct audit *audit);
