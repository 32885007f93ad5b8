/* SPDX-License-Identifier: Apache-2.0 */
/* turn.h - how much a device may do before its loop looks at all of its events again: bytes moved
 * and time. The guest chooses how much there is to do; the heartbeat and the broker's messages must
 * not wait for it.
 *
 * A turn goes from one look of the loop to the next. The clock starts with the first question or
 * the first byte, so that sleep is not counted. Whoever finds the turn over leaves the rest, and
 * sees to it that it is called again. Each turn is good for one piece of work at least, so a piece
 * must be bounded by itself: a few MiB, a few milliseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    TURN_BYTES = 16 << 20,      /* copied at 100 MB/s, on a busy host, it is a heartbeat late */
    TURN_NS = 20 * 1000 * 1000, /* a tenth of the heartbeat's interval */
};

struct turn {
    uint64_t end_ns; /* 0: nothing was done in it yet */
    uint64_t bytes;
    bool over;
};

/* A new turn. */
void turn_begin(struct turn *turn);
/* Counts what is about to be moved, or was. */
void turn_spend(struct turn *turn, uint64_t bytes);
/* Whether nothing more should be begun. Asks the clock; once over, it stays over. */
bool turn_over(struct turn *turn);
/* The same as far as it is known without asking the clock. */
bool turn_is_spent(const struct turn *turn);
