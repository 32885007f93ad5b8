/* SPDX-License-Identifier: Apache-2.0 */
/* harness.h - starting the probe and looking at it from outside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "probe.h"
#include "sandbox/spawn.h"

struct probe {
    pid_t pid;
    int pidfd;
    int control; /* our end of its descriptor 3 */
    unsigned missing;
    struct probe_report report;
};

struct harness {
    int program_fd; /* the probe: opened before privileges are given up */
    uint32_t uid;   /* host id for the children, 0: keep the caller's (an ordinary user, or root
                       of a user namespace that has no such ids) */
    bool no_userns; /* this host makes none: run by no_userns */
};

/* cmocka setup; with a uid of its own per child when run by root. */
int harness_setup(void **state);
int harness_teardown(void **state);
/* Runs `group` as it is and, when root, once more in a child as an ordinary user; where user
 * namespaces can't be made, `refused` instead. */
int harness_run_both(int (*group)(void), int (*refused)(void));

/* Fails the test when the probe can't be started or says nothing. */
struct probe harness_start(const struct harness *h, const char *mode, const char *action);
/* The same with the caller's own settings for what is not the probe itself. */
struct probe harness_start_with(const struct harness *h, struct sandbox_spawn spawn,
                                const char *mode, const char *action);
/* The caller's own settings, filled in with what is the same for every child of this host. */
struct sandbox_spawn harness_spawn(const struct harness *h, struct sandbox_spawn spawn);
/* Layers that are missing or replaced in every child of this host. */
unsigned harness_missing(const struct harness *h);
void harness_go(struct probe *probe);
bool harness_result(struct probe *probe, struct probe_result *ret_result); /* false: it died */
int harness_wait(struct probe *probe); /* reaps: exit status, or minus the signal */
void harness_end(struct probe *probe);

/* /proc/<pid>/<name> as text; returns its length. */
size_t harness_proc(pid_t pid, const char *name, char *ret_text, size_t size);
/* The value of "Key:\tvalue" in /proc/<pid>/status. */
void harness_status(pid_t pid, const char *key, char *ret_value, size_t size);
unsigned harness_count_fds(void); /* of this process */
