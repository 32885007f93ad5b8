/* SPDX-License-Identifier: Apache-2.0 */
/* holder.h - the process that keeps the socket's file of a vsock, and of a device that was added to a VM which runs.
 *
 * Such a file is to go with the device, and at the VM's end, whoever was killed. The VM's broker may remove nothing,
 * and its spawner must not be told by a broker, which may have been taken over, what to remove. So the process that
 * made the file stays: the opener, with the rights of who called `bulkhead add`; for a vsock of the start one that the broker makes
 * before its sandbox, with the broker's uid and the right to pass by modes in that folder, which the broker itself then lacks. It has the folder, the socket, and
 * one end of a link; the other end is the broker's, with a copy in the spawner's store for a successor. It hears
 * numbers alone: remove it now; connect a guest to a neighbour <name>_<port>. When nobody has the other end any more, or it is told
 * so, it removes what it made, if that is still its own, and leaves. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "base/compiler.h"
#include "resources/socket_path.h"

enum holder_kind { HOLDER_CONNECT = 1, HOLDER_REMOVE };

struct holder_message {
    uint32_t kind;
    uint32_t child, token; /* whose request it is: comes back as it was */
    uint32_t port;
    int32_t error; /* of the answer: 0, or a negative errno; 0 comes with a descriptor */
};

struct sandbox_filter;

/* [0] is the broker's. 0, or a negative errno. */
int holder_link(int ret_pair[2]) must_check;
/* Becomes it: takes over socket and link (pair[1]), and closes all else. serves: a vsock's, whose guest connects to
 * others. Does not return. */
_Noreturn void holder_stay(const struct sandbox_filter *filter, const struct socket_path *socket,
                           int link_fd, bool serves);

/* Starts one for a socket that was made, which is its own from then on: in a session of its own, nobody's child, with that
 * uid and gid (0: the caller's). serves: as above. 0, or a negative errno: the socket is the caller's still. *ret_link is the caller's. */
int holder_start(const struct sandbox_filter *filter, struct socket_path *socket, uint32_t uid,
                 bool serves, int *ret_link) must_check;

/* The broker's side. Never waits: 0, or a negative errno. */
int holder_ask(int link_fd, const struct holder_message *message) must_check;
/* 0; 1: nothing has come; -EPIPE: it is gone. *ret_fd is the caller's, or -1. */
int holder_hear(int link_fd, struct holder_message *ret_message, int *ret_fd) must_check;
/* Who it is: the kernel's word. False: that is not a link. */
bool holder_who(int link_fd, struct ucred *ret_who);
/* The file goes now; waits a moment for that. */
void holder_dismiss(int link_fd);
