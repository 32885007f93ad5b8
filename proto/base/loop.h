/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - the event loop; the only file pair that knows libevent. One loop per thread.
 * All events are added before the sandbox is entered where possible; adding later costs an
 * epoll_ctl. Callbacks may remove any event, their own included. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct loop;
struct loop_event;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4, LOOP_EDGE = 8 };

typedef void (*loop_fn)(int fd, unsigned what, void *arg); /* fd is -1 for a timer */

int loop_new(struct loop **ret_loop) must_check;
void loop_free(struct loop *loop);
/* The epoll descriptor, for sandbox_enter()'s list of what stays open. */
int loop_fd(const struct loop *loop);

/* Watches fd (not owned) for good until loop_event_free(): level-triggered, or with LOOP_EDGE once
 * for each time that it becomes ready anew (an eventfd: each write). */
int loop_add_fd(struct loop *loop, int fd, unsigned what, loop_fn fn, void *arg,
                struct loop_event **ret_event) must_check;
/* Stops and restarts a watch without freeing it. */
int loop_event_pause(struct loop_event *event);
int loop_event_resume(struct loop_event *event);
/* A timer that is armed by loop_timer_arm(), once or repeating. */
int loop_add_timer(struct loop *loop, loop_fn fn, void *arg,
                   struct loop_event **ret_event) must_check;
int loop_timer_arm(struct loop_event *event, uint64_t after_ms, bool repeat);
void loop_timer_disarm(struct loop_event *event);
/* Called after every batch of callbacks, before the loop sleeps: submit what was gathered. */
void loop_set_before_sleep(struct loop *loop, void (*fn)(void *arg), void *arg);
void loop_event_free(struct loop_event *event);

/* Runs until loop_quit(); returns the value given to it, or a negative errno. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int value);
uint64_t now_ns(void); /* CLOCK_MONOTONIC */
