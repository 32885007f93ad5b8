/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - one connection of the command line to a broker: a private one that it starts for
 * `run` and `plan`, or a running VM's command socket, be the VM of `run` or of the host's service. Errors are negative errnos with an origin
 * (base/err.h); a peer that is silent for too long is -ETIMEDOUT, one that is gone -EPIPE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "client.pb-c.h"
#include "client/envelope.h"
#include "ipc/channel.h"

enum {
    CLIENT_TIMEOUT_MS = 30000, /* an upgrade of a busy disk drains first */
    CLIENT_RUNDIR_BYTES = 512,
};

struct client {
    struct channel *channel;
    pid_t broker; /* child of ours, or 0 */
    uint32_t last_id;
    int timeout_ms;                    /* of its calls; 0: CLIENT_TIMEOUT_MS */
    char run_dir[CLIENT_RUNDIR_BYTES]; /* of the VM that it is connected to; "": not known */
};

struct client_answer {
    const Bulkhead__ClientEnvelope *envelope; /* valid until the next message of this client */
    int *fds;                                 /* take with fd_take() */
    size_t n_fds;
};

/* Forks and executes bulkhead-broker with the other end as descriptor 3 and in a session of its
 * own, so that the terminal's signals reach only the command line. Its log lines go to log_fd (-1: to
 * the caller's stderr), which stays the caller's. */
int client_start_broker(struct client *ret_client, int log_fd) must_check;
/* The same program with the caller's rights, to open what a device needs (bulkhead-broker --open). */
int client_start_opener(struct client *ret_client) must_check;
/* A VM of `run`; if there is none of that name one of the host's service, which "TENANT/VM" always is. -ENOENT: there is
 * none, or it doesn't run; the text then says so, and names one that was perhaps meant. */
int client_connect(struct client *ret_client, const char *vm) must_check;
/* Is there a VM of `run` of that name? */
bool client_is_private(const char *vm);
/* The one of `run` that was perhaps meant, or NULL. Valid until the next call. */
const char *client_nearest(const char *vm);
/* Who was started has some seconds to leave, and is killed then. */
void client_close(struct client *client);
/* The same, but at once when stop_fd is readable. */
void client_close_unless(struct client *client, int stop_fd);
/* The same, but waits so long at most for who was started, who may stay. */
void client_leave(struct client *client, int patience_ms);
/* The VM has ended: waits until all that held the connection has, the spawner last, when it has removed what the
 * VM had, or until stop_fd is readable. Whatever comes meanwhile is dropped. */
void client_await_end(struct client *client, int stop_fd);

/* Numbers and sends a request. */
int client_send(struct client *client, Bulkhead__ClientEnvelope *request, const int *fds,
                size_t n_fds) must_check;
/* Waits up to timeout_ms (-1: for ever) for the next message. */
int client_receive(struct client *client, int timeout_ms,
                   struct client_answer *ret_answer) must_check;
/* Sends and waits for the answer with the request's number; what comes between is dropped. */
int client_call(struct client *client, Bulkhead__ClientEnvelope *request,
                struct client_answer *ret_answer) must_check;
/* The same with descriptors, which stay the caller's. */
int client_call_with(struct client *client, Bulkhead__ClientEnvelope *request, const int *fds,
                     size_t n_fds, struct client_answer *ret_answer) must_check;
/* Connects to a VM, calls, prints what went wrong; EXIT_OK leaves the client open. `want` is the
 * body the answer must have. */
int client_ask(struct client *ret_client, const char *vm, Bulkhead__ClientEnvelope *request,
               Bulkhead__ClientEnvelope__BodyCase want,
               struct client_answer *ret_answer) must_check;
/* The same, with descriptors that stay the caller's. */
int client_ask_with(struct client *ret_client, const char *vm, Bulkhead__ClientEnvelope *request,
                    const int *fds, size_t n_fds, Bulkhead__ClientEnvelope__BodyCase want,
                    struct client_answer *ret_answer) must_check;
/* Prints a failure of one of the calls above and gives its exit status. */
int client_failed(int r);
/* The exit status of a Reply; prints its text when it is an error. */
int client_reply(const Bulkhead__Reply *reply);
/* Finds a program next to this one or in ../libexec/bulkhead. 0 or -ENOENT. */
int client_find_program(const char *name, char *dst, size_t size) must_check;
