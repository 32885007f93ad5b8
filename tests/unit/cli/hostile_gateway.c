/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_gateway.c - takes bulkhead-gateway's place (test_gateway.c): one that was taken over before it had a sandbox, and asks its
 * starter for more than there is. What it got it says in its log. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "client/envelope.h"
#include "client/gateway.h"
#include "ipc/channel.h"

enum { OPENERS = 60 };

static int hear(struct channel *c, const Bulkhead__ClientEnvelope **ret, size_t *ret_n_fds)
{
    ProtobufCMessage *msg = NULL;
    int *fds = NULL;
    int r =
        channel_receive_raw(c, true, &bulkhead__client_envelope__descriptor, &msg, &fds, ret_n_fds);

    *ret = (const Bulkhead__ClientEnvelope *)msg;
    for (size_t i = 0; r == 0 && i < *ret_n_fds; i++)
        (void)fd_take(&fds[i]); /* it keeps them: the openers stay */
    return r;
}

/* 1: a descriptor came. */
static int ask(struct channel *c, bool opener)
{
    Bulkhead__Connect connect = BULKHEAD__CONNECT__INIT;
    CLIENT_ENVELOPE(e, CONNECT, connect, &connect);
    const Bulkhead__ClientEnvelope *answer;
    size_t n_fds = 0;

    connect.opener = opener;
    e.id = 7;
    if (channel_send_raw(c, &e.base, NULL, 0, true) < 0 || hear(c, &answer, &n_fds) != 0 ||
        answer->id != 7 || answer->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY)
        return -1;
    return answer->reply->error == 0 && n_fds == 1;
}

/* What is not known here is refused; a descriptor ends the link. */
static int offend(struct channel *c)
{
    Bulkhead__StopVm stop = BULKHEAD__STOP_VM__INIT;
    CLIENT_ENVELOPE(e, STOP_VM, stop_vm, &stop);
    const Bulkhead__ClientEnvelope *answer;
    const int fd = GATEWAY_LISTEN;
    size_t n_fds = 0;

    if (channel_send_raw(c, &e.base, NULL, 0, true) < 0 || hear(c, &answer, &n_fds) != 0 ||
        answer->reply->error == 0)
        return -1;
    if (channel_send_raw(c, &e.base, &fd, 1, true) < 0)
        return -1;
    return hear(c, &answer, &n_fds) == CHANNEL_CLOSED ? 0 : -1;
}

int main(void)
{
    struct channel *c = NULL;
    const Bulkhead__ClientEnvelope *e;
    size_t n_fds = 0;
    char text[96];
    int given = 0, n, broker;

    if (channel_new(&c, GATEWAY_STARTER, CHANNEL_ARENA_CLIENT) < 0 || hear(c, &e, &n_fds) != 0 ||
        e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_SERVE_VM)
        return 1;
    for (int i = 0; i < OPENERS; i++) {
        int r = ask(c, true);

        if (r < 0)
            return 1;
        given += r;
    }
    broker = ask(c, false);
    n = snprintf(text, sizeof text, "%d openers, %d brokers, offence %d\n", given, broker,
                 offend(c));
    return write(FD_LOG, text, (size_t)n) == n ? 0 : 1;
}
