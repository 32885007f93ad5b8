/* SPDX-License-Identifier: Apache-2.0 */
/* roles.h - a device of each kind for the hostile worker to be, with descriptors as the broker
 * would give it. */
#pragma once

#include "harness.h"

enum { ROLE_AT_A_TAP = 6, ROLES_N };

struct role {
    const char *name;
    Bulkhead__Role role;
    bool tap;
    int peer; /* the other end of what it serves; -1: none */
    union {
        Bulkhead__BlkConfig blk;
        Bulkhead__ConsoleWorkerConfig console;
        Bulkhead__NetWorkerConfig net;
        Bulkhead__VsockWorkerConfig vsock;
        Bulkhead__BalloonWorkerConfig balloon;
    } config;
    struct wh *wh;
};

/* A tap needs root. */
bool role_possible(unsigned which);
/* which: 0..ROLES_N-1. failpoint: an argument for the worker, or NULL. */
void role_new(struct role *ret_role, unsigned which, const char *failpoint);
void role_free(struct role *role);
