/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - what the broker has opened for a device. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "resources/socket_path.h"

enum {
    RESOURCES_MAX_TAPS = 16,
    RESOURCES_MAX_OWN = RESOURCES_MAX_TAPS + 2, /* a device's own descriptors */
};

/* A device's back end: what its worker gets beside queues, and keeps over restarts. */
struct backend {
    int own[RESOURCES_MAX_OWN];
    unsigned n_own;
    /* The broker's alone: pty slave, passt's end of the stream (and of the one before), of a macvtap and a tap
     * rtnetlink (and of a tap with several queues one more, its claim: net_again.c), the link to a holder. */
    int held[2];
    uint64_t cache_bytes; /* pages of its file that may count as its worker's memory, see cache.h */
    struct socket_path socket; /* the one we listen on, to remove at the end */
    bool holder;               /* or its file is another process's to keep: resources/holder.h */
    /* blk */
    uint64_t size_bytes;
    uint32_t block_size, physical_block_exp; /* as the guest sees them */
    uint32_t direct_align, range_align;      /* bytes: what the host's disk needs, powers of two */
    bool block_device, discard;
    /* console */
    char pty_path[64];
    int client; /* of a console's socket: outlives the workers that serve it; -1: none */
    bool keys;  /* its input is a terminal's: some keys are ours */
    /* net */
    char made_tap[16];     /* an interface that goes with its last descriptor */
    uint32_t tap_offloads; /* TUN_F_* that the tap takes */
    int macvtap;           /* its interface's index; 0: it is not one */
};
void backend_init(struct backend *backend);
/* A copy of another process's: the descriptors in it are empty, and nothing is closed. */
void backend_forget(struct backend *backend);
void backend_deinit(struct backend *backend);
