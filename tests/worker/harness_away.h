/* SPDX-License-Identifier: Apache-2.0 */
/* harness_away.h - a broker that is away: nobody reads its end of the worker's control socket, which stays
 * open, until another one takes over. For harnesses with config.away. */
#pragma once

#include "harness.h"

/* From here on nothing that the worker sends fits. What it said before must have been received. */
void wh_go_away(struct wh *wh);
/* There is room again; nothing of the worker's was lost. */
void wh_come_back(struct wh *wh);
/* Until the worker's loop has turned, with the messages that it has. */
void wh_let_it_turn(struct wh *wh);
void wh_send_resync(struct wh *wh, uint32_t epoch);
/* The same, and the next message, which must be the Snapshot of that epoch. Valid until the next receive. */
const Bulkhead__Snapshot *wh_resync(struct wh *wh, uint32_t epoch);
/* Nothing more comes while the worker's loop turns twice. */
void wh_expect_silence(struct wh *wh);
