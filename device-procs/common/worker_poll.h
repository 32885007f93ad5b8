/* SPDX-License-Identifier: Apache-2.0 */
/* worker_poll.h - a moment of looking for work before the loop sleeps; for worker_run.c. */
#pragma once

struct worker;

/* Runs what was to run again and what looking finds, until there is nothing or the turn is over. For a
 * device with poll(), while activated. */
void worker_poll(struct worker *w);
/* The loop is about to sleep; worker_poll_woken() ends that. */
void worker_poll_sleeps(struct worker *w);
