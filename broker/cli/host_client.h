/* SPDX-License-Identifier: Apache-2.0 */
/* host_client.h - one connection of the command line to the host's service: the caller's own, if there is one, else root's.
 * Errors are negative errnos with an origin (base/err.h); a service that is silent for too long is -ETIMEDOUT, one that is
 * gone -EPIPE, one that refuses is -ENOENT (there is no such VM), -EKEYREJECTED (who calls speaks for no tenant), -EREMOTE (the
 * input is wrong otherwise) or -EREMOTEIO (it failed), with its words as text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "client/hostdir.h"
#include "host.pb-c.h"
#include "ipc/channel.h"

enum {
    HOST_TIMEOUT_MS = 30000,
    HOST_PATIENCE_MS = 600000, /* of what takes as long as a VM's start, or its end */
    HOST_AWAY_MS = 30000,      /* how long a service may be away while it is waited for */
    HOST_NAME_BYTES = HOSTDIR_TENANT_BYTES + HOSTDIR_VM_BYTES, /* "TENANT/VM" */
};

struct host {
    struct channel *channel;
    uint32_t last_id;
    char run_dir[HOSTDIR_PATH_BYTES]; /* of the service that was found */
};

struct host_answer {
    const Bulkhead__HostEnvelope *envelope; /* valid until the next message of this connection */
    int *fds;                               /* take with fd_take() */
    size_t n_fds;
};

/* Statement form of a HostEnvelope with one body: HOST_ENVELOPE(e, START_VM, start_vm, &msg). */
#define HOST_ENVELOPE(name, CASE, field, ptr)                                                      \
    Bulkhead__HostEnvelope name = BULKHEAD__HOST_ENVELOPE__INIT;                                   \
    (name).body_case = BULKHEAD__HOST_ENVELOPE__BODY_##CASE;                                       \
    (name).field = (ptr)

/* -ECONNREFUSED: no service runs; the text says what to do then. */
int host_connect(struct host *ret_host) must_check;
/* The service that this caller may have started alone: never root's, unless that is who calls. */
int host_connect_own(struct host *ret_host) must_check;
void host_close(struct host *host);

/* Numbers and sends a request. */
int host_send(struct host *host, Bulkhead__HostEnvelope *request) must_check;
/* Waits up to timeout_ms (-1: for ever) for the next message. */
int host_receive(struct host *host, int timeout_ms, struct host_answer *ret_answer) must_check;
/* Sends and waits for the answer with the request's number. */
int host_call(struct host *host, Bulkhead__HostEnvelope *request, int timeout_ms,
              struct host_answer *ret_answer) must_check;
/* Connects, calls, prints what went wrong; EXIT_OK leaves the connection open. `want` is the body the answer must
 * have. */
int host_ask(struct host *ret_host, Bulkhead__HostEnvelope *request, int timeout_ms,
             Bulkhead__HostEnvelope__BodyCase want, struct host_answer *ret_answer) must_check;
/* Prints a failure of one of the calls above and gives its exit status. */
int host_failed(int r);
/* The exit status of a HostReply; prints its text when it is an error. */
int host_reply(const Bulkhead__HostReply *reply);
/* What the answer must be: prints what it is instead. */
int host_expect(const struct host_answer *answer, Bulkhead__HostEnvelope__BodyCase want) must_check;

/* After the connection was lost: tries for a while, since a service that was upgraded is soon back. */
int host_connect_again(struct host *host) must_check;
/* The caller's tenant. */
int host_tenant(struct host *host, char *dst, size_t size) must_check;
/* Calls fn for all VMs of the caller that have these labels, page by page; until it says false. 0 or a negative errno. */
int host_each_vm(struct host *host, Bulkhead__KeyValue **labels, size_t n_labels, int timeout_ms,
                 bool (*fn)(void *arg, const Bulkhead__VmStatus *status), void *arg) must_check;
/* A VM's descriptors, by a connection of its own, since no other takes any; max of them, which are the caller's to
 * close. Their number, or a negative errno. */
int host_open_vm(const char *vm, Bulkhead__VmChannel channel, int *ret_fds, size_t max) must_check;
/* Where the VM's run directory is, as rundir.h knows one. */
/* The passt of that note may be started once for the VM, until ret_fd is closed; the same. */
int host_allow_passt(const char *vm, const ProtobufCBinaryData *note, int *ret_fd) must_check;
int host_find_rundir(const char *vm, char *dst, size_t size) must_check;
/* No service, or none that knows the caller: to who needs none, it is all the same. */
bool host_is_none(int r);
/* "VM" or "TENANT/VM": are these letters of a name? */
bool host_is_name(const char *vm);
/* Prints that it is no name; EXIT_OK if it is. */
int host_check_name(const char *vm) must_check;
