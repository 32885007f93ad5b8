/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - the host's side of a console: a terminal, a file, a socket's client, a pty, nothing.
 *
 * Never blocks, whatever the reader does, and never touches O_NONBLOCK of a descriptor that the
 * user's shell may share: it asks poll() first, writes at most PIPE_BUF, and a repeating timer
 * signal cuts short a write that a terminal swallowed only in part. The backend keeps no output:
 * what backend_write() did not take stays the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/loop.h"
#include "common/turn.h"
#include "control.pb-c.h"
#include "shm/stats.h"

struct backend;

struct backend_config {
    Bulkhead__ConsoleMode mode;
    int in_fd;     /* tty, pty: owned; -1: no input. socket: the listening socket */
    int out_fd;    /* tty, pty, file: owned; -1: nowhere */
    int client_fd; /* socket: owned; the client that a predecessor had, -1: none */
    struct loop *loop;
    struct stats_page *stats;
    struct turn *turn;           /* backend_write() takes no more once it is over; may be NULL */
    void (*on_input)(void *arg); /* something may be read: call backend_read() */
    /* Socket: a client came, fd stays the backend's; -1: it left. May be NULL. */
    void (*on_client)(void *arg, int fd);
    void (*on_writable)(void *arg); /* after backend_write() took less than all */
    void *arg;
};

/* Before the sandbox: looks at the descriptors' types and sets up all watches. The descriptors
 * are the backend's from here on, also when it fails. */
int backend_new(struct backend **ret_backend, const struct backend_config *config) must_check;
void backend_free(struct backend *backend);
/* No client is accepted any more; the one that is there stays. */
void backend_stop_accepting(struct backend *backend);

/* Returns how many bytes went out (or were dropped for good: a full disk, a reader that will
 * never come back; counted in stats). Less than len: on_writable follows. */
size_t backend_write(struct backend *backend, const void *src, size_t len);
/* Returns how many bytes came in, 0: none now. */
size_t backend_read(struct backend *backend, void *dst, size_t len);
/* Stops and restarts on_input, when the guest takes no more. */
void backend_input_pause(struct backend *backend);
void backend_input_resume(struct backend *backend);
/* Asks for on_writable soon although nothing was refused: the caller yields to other events. */
void backend_yield(struct backend *backend);
/* Terminal size when there is one; else nothing is stored. */
bool backend_size(const struct backend *backend, uint16_t *ret_cols, uint16_t *ret_rows);
