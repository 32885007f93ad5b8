/* SPDX-License-Identifier: Apache-2.0 */
/* configure.h - the one message that gives a child all it will ever have. */
#pragma once

#include "run/instance.h"

struct configure {
    Bulkhead__Envelope envelope; /* points to the rest */
    int fds[CHANNEL_MAX_FDS];    /* not owned */
    size_t n_fds;
    Bulkhead__Configure message;
    Bulkhead__MemoryRegion regions[2], *region_list[2];
    char name[PLAN_NAME_BYTES + 8];
    union {
        Bulkhead__LoaderConfig loader;
        Bulkhead__CoreConfig core;
        Bulkhead__BlkConfig blk;
        Bulkhead__ConsoleWorkerConfig console;
        Bulkhead__NetWorkerConfig net;
        Bulkhead__VsockWorkerConfig vsock;
        Bulkhead__BalloonWorkerConfig balloon;
    } role;
};

void configure_make(struct instance *in, uint32_t child, struct configure *ret_configure);
