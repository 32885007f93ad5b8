/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h - the plan of a process against what the kernel says of it. Each part adds findings;
 * none stops at the first. What can't be read (another user's process) is said, not guessed. */
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

/* uid, gid, capabilities, no_new_privs, seccomp mode and program of every thread. */
void audit_threads(const struct audit_target *t);
/* Namespaces, root, limits, cgroup, dumpable. */
void audit_process(const struct audit_target *t);
/* Each planned namespace's inode must be this process's alone. */
void audit_shared_namespaces(struct audit *audit, const struct audit_target *targets, size_t n);
/* Descriptors by number, type, target and access mode. */
void audit_fds(const struct audit_target *t);
/* Mappings of guest RAM, and memory that is writable and executable. */
void audit_memory(const struct audit_target *t);
/* Hardening of the executable file. */
void audit_binary(const struct audit_target *t);

/* For an audit that nobody asked for: drift, and why it couldn't be made, go to stderr. What can't
 * be read is no drift; *ret_unreadable counts it, 0 if the audit failed. */
enum audit_outcome {
    AUDIT_PASSED,
    AUDIT_FOUND_DRIFT,
    AUDIT_FAILED,
};
enum audit_outcome audit_vm_quietly(const char *vm, size_t *ret_unreadable);
