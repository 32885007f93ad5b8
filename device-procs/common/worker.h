/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - the skeleton of every device process; the device supplies a struct worker_ops, and calls
 * what is declared here, in worker_say.h and in worker_stop.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/loop.h"
#include "shm/gmem.h"
#include "shm/stats.h"
#include "turn.h"
#include "vq.h"
#include "worker_ops.h"

struct loop *worker_loop(struct worker *w);
struct gmem *worker_mem(struct worker *w);
struct vq *worker_vq(struct worker *w, unsigned q); /* valid from setup on */
unsigned worker_num_queues(const struct worker *w);
struct stats_page *worker_stats(struct worker *w);
/* What all queues and events together may do before the loop looks at its events again. The
 * skeleton begins it anew each time; a queue whose kick comes when it is over has its turn next. */
struct turn *worker_turn(struct worker *w);
void worker_keep_fd(struct worker *w, int fd); /* stays open in the sandbox */
/* In setup: how many descriptors may come later (accept, VsockConnected): RLIMIT_NOFILE's room. */
void worker_reserve_fds(struct worker *w, unsigned n);
/* In setup: a regular file may be written up to there (SANDBOX_FILE_UNLIMITED: to any length). Without
 * this call none may be. */
void worker_limit_files(struct worker *w, uint64_t max_bytes);
struct worker_ring *worker_own_ring(struct worker *w); /* disabled; the spawner has a duplicate */
struct worker_ring *worker_old_ring(struct worker *w); /* the dead worker's, to be drained */
/* The dead worker's ring is still: said in Ready, or from then on in RingDrained. False while that waits
 * for room in the socket: ask again. Until it is true nothing may be submitted to the own ring, as the
 * spawner goes on holding the old one alone. */
bool worker_ring_drained(struct worker *w);
bool worker_running(const struct worker *w); /* activated, not draining */
void worker_needs_reset(struct worker *w, unsigned q, const char *why); /* the guest broke it */
void worker_fail(struct worker *w, int r); /* ours: Failed to the broker, then exit */
void worker_leave(struct worker *w);       /* ends the part of worker_ops, and with it the worker */
/* What the device waited for came by an event of its own (a completion). */
void worker_poll_woken(struct worker *w);
/* Runs on_queue again soon although no kick came (throttled, out of room before). */
void worker_rerun(struct worker *w, unsigned q);
