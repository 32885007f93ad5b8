/* SPDX-License-Identifier: Apache-2.0 */
/* worker_queue.h - the turns of a worker's queues; for its loop. */
#pragma once

struct worker;

/* One batch of the device's on_queue(), unless the turn is over: then it runs again in the next. What goes
 * wrong is told to the broker. */
void worker_queue_run(struct worker *w, unsigned q);
/* What worker_rerun() asked for. */
void worker_queue_run_pending(struct worker *w);
