/* SPDX-License-Identifier: Apache-2.0 */
/* spawner.h - the broker's end of the spawner (wire.h says what that is). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "spawner/wire.h"

struct spawner {
    int fd; /* the broker's end */
    pid_t pid;
};

/* Forks the spawner; the caller is single-threaded and has opened nothing the spawner must not
 * have, but for close_fd (-1: none), which the spawner closes. Groups and uids are then both
 * processes': each ends the groups and releases the uids when it ends, and the later one's counts. */
int spawner_start(struct spawner *ret_spawner, int close_fd,
                  const struct spawner_terms *terms) must_check;
/* Never blocks for long: the spawner waits for nobody. */
int spawner_send(struct spawner *spawner, const struct spawner_request *request, const int *fds,
                 unsigned n_fds) must_check;
/* It removes that socket when broker and VM are gone. */
int spawner_hold(struct spawner *spawner, const struct socket_path *socket) must_check;
/* 0, 1 when there is no report, or a negative errno (-EPIPE: the spawner is gone). ret_fds: each -1 or
 * owned by the caller. */
int spawner_receive(struct spawner *spawner, struct spawner_report *ret_report,
                    int ret_fds[SPAWNER_REPORT_FDS]) must_check;
/* What is kept is told to the broker that takes over: KEPT, CHILD and ALL. Waits for it. *ret_n_fds of ret_fds, SPAWNER_KEPT_FDS at
 * most, are owned by the caller. 0, or a negative errno with an origin. */
int spawner_receive_kept(struct spawner *spawner, struct spawner_report *ret_report,
                         int ret_fds[SPAWNER_KEPT_FDS], unsigned *ret_n_fds) must_check;
/* This broker ends in order: no other one is started. */
void spawner_leave(struct spawner *spawner);
/* Closes the socket and waits for the spawner, which leaves when it has no children. Before the seal, or where the
 * spawner doesn't know this process: else it waits for this one's end first. */
void spawner_stop(struct spawner *spawner);
/* Closes the socket: the spawner clears up when this process has ended. */
void spawner_let_go(struct spawner *spawner);
