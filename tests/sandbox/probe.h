/* SPDX-License-Identifier: Apache-2.0 */
/* probe.h - the probe: a program that enters a sandbox, says so on descriptor 3, waits there for
 * one byte, tries one action and says how that went. */
#pragma once

#include <sys/types.h>

struct probe_report {
    int r; /* of sandbox_enter() */
    unsigned missing;
    int dumpable, mdwe; /* only without a filter; else -1 */
    long securebits;
    char text[160];
};

struct probe_result {
    int error; /* 0: the action succeeded; else its errno */
};

struct probe_action {
    const char *name;
    int (*run)(void); /* 0 or errno */
    /* What may come of it when all layers but seccomp are on; 0: it may succeed (it harms nobody,
     * or seccomp alone is there to stop it). Under the filter every action is SIGSYS. */
    int want[3];
};

extern const struct probe_action probe_actions[];
extern const unsigned probe_n_actions;
const struct probe_action *probe_find(const char *name);
