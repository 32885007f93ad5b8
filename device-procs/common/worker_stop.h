/* SPDX-License-Identifier: Apache-2.0 */
/* worker_stop.h - the ways to stop: drained reset and quiesce, guest RAM that goes, Stop, the core's
 * death. */
#pragma once

struct worker;

/* ---- for devices ---- */
/* Nothing is in flight, after drain() of worker_ops; does nothing if that was not asked for. May call
 * reset() and part(). */
void worker_drained(struct worker *w);

/* ---- for worker_run.c ---- */
/* No queue runs from here on; what is wanted (w->want_...) is done when the device has drained, now or
 * later. */
void worker_stop_drain(struct worker *w);
/* The queues run, if they may. */
void worker_go_on(struct worker *w);
/* Leaves when the device's part() says so, or after patience_ms. */
void worker_stop_part(struct worker *w, unsigned patience_ms);
