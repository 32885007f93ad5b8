/* SPDX-License-Identifier: Apache-2.0 */
/* spawner.h - the broker's end of the spawner (wire.h says what that is). */
#pragma once

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
/* It removes that socket when broker and VM are gone. listening_fd: -1 before the seal. */
int spawner_hold(struct spawner *spawner, const struct socket_path *socket,
                 int listening_fd) must_check;
/* It removes that socket now. */
int spawner_let_go(struct spawner *spawner, const struct socket_path *socket) must_check;
/* 0, 1 when there is no report, or a negative errno (-EPIPE: the spawner is gone). ret_fds: each -1 or
 * owned by the caller. */
int spawner_receive(struct spawner *spawner, struct spawner_report *ret_report,
                    int ret_fds[SPAWNER_REPORT_FDS]) must_check;
/* Closes the socket and waits for the spawner, which leaves when it has no children. */
void spawner_stop(struct spawner *spawner);
