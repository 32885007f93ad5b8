/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - see link.h. */
#include "api/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/envelope.h"
#include "ipc/channel.h"

struct asked {
    uint32_t id; /* 0: the place is free */
    bool of_starter, sent;
    link_fn fn;
    void *arg;
    Bulkhead__ClientEnvelope *request; /* of one that is not sent yet */
    const int *fds;
    size_t n_fds;
};

struct link {
    struct loop *loop;
    struct channel *starter, *broker; /* the broker's: NULL, there is none */
    struct loop_event *starter_event, *broker_event;
    void (*on_serve)(void *arg, const Bulkhead__ServeVm *serve);
    void (*on_end)(void *arg);
    void *arg;
    uint32_t last_id,
        connect_id; /* connect_id: of the request for a broker's connection; 0: none */
    struct asked asked[LINK_MAX_ASKED];
};

static void finish(struct asked *a, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds)
{
    const struct asked done = *a;

    a->id = 0;
    done.fn(done.arg, answer, fds, n_fds);
}

static struct asked *remember(struct link *link, bool of_starter, link_fn fn, void *arg)
{
    for (unsigned i = 0; i < LINK_MAX_ASKED; i++) {
        struct asked *a = &link->asked[i];

        if (a->id != 0)
            continue;
        *a =
            (struct asked){ .id = ++link->last_id, .of_starter = of_starter, .fn = fn, .arg = arg };
        return a;
    }
    err_origin(-EBUSY, "too many requests at once");
    return NULL;
}

static struct asked *find(struct link *link, uint32_t id, bool of_starter)
{
    for (unsigned i = 0; i < LINK_MAX_ASKED && id != 0; i++)
        if (link->asked[i].id == id && link->asked[i].of_starter == of_starter)
            return &link->asked[i];
    return NULL;
}

/* Those that the broker was asked, or all that wait for one. */
static void fail_asked(struct link *link, bool sent)
{
    for (unsigned i = 0; i < LINK_MAX_ASKED; i++) {
        struct asked *a = &link->asked[i];

        if (a->id != 0 && !a->of_starter && a->sent == sent)
            finish(a, NULL, NULL, 0);
    }
}

/* ---- the broker ---- */

static void lose_broker(struct link *link)
{
    if (link->broker_event)
        loop_event_free(link->broker_event);
    link->broker_event = NULL;
    channel_freep(&link->broker);
    err_origin(-EPIPE, "the VM's broker has closed the connection: if the VM runs, ask again");
    fail_asked(link, true);
}

static void on_broker(int fd, unsigned what, void *arg)
{
    struct link *link = arg;
    ProtobufCMessage *msg = NULL;
    const Bulkhead__ClientEnvelope *e;
    struct asked *a;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(link->broker, false, &bulkhead__client_envelope__descriptor, &msg,
                                &fds, &n_fds);

    (void)fd;
    (void)what;
    if (r == CHANNEL_EMPTY)
        return;
    if (r != 0) {
        lose_broker(link);
        return;
    }
    e = (const Bulkhead__ClientEnvelope *)msg;
    a = find(link, e->id, false);
    if (a && a->sent)
        finish(a, e, fds, n_fds);
}

static void send_asked(struct link *link, struct asked *a)
{
    int r;

    a->sent = true;
    a->request->id = a->id;
    r = channel_send_raw(link->broker, &a->request->base, a->fds, a->n_fds, false);
    if (r < 0)
        finish(a, NULL, NULL, 0);
}

static int take_broker(struct link *link, int *fd)
{
    int r = channel_new(&link->broker, *fd, CHANNEL_ARENA_CLIENT);

    if (r < 0)
        return err_trace(r);
    r = loop_add_fd(link->loop, *fd, LOOP_READ, on_broker, link, &link->broker_event);
    *fd = -1; /* the channel's */
    if (r < 0)
        channel_freep(&link->broker);
    return r < 0 ? err_trace(r) : 0;
}

static void on_broker_connected(struct link *link, const Bulkhead__Reply *reply, int *fds,
                                size_t n_fds)
{
    int r = 0;

    link->connect_id = 0;
    if (reply->error != 0)
        r = err_origin(-reply->error, "%s", reply->text);
    else if (n_fds != 1)
        r = err_origin(-EBADMSG, "no connection to the VM's broker came");
    if (r == 0)
        r = take_broker(link, &fds[0]);
    if (r < 0) {
        fail_asked(link, false);
        return;
    }
    for (unsigned i = 0; i < LINK_MAX_ASKED && link->broker; i++)
        if (link->asked[i].id != 0 && !link->asked[i].of_starter && !link->asked[i].sent)
            send_asked(link, &link->asked[i]);
}

/* ---- the starter ---- */

static int say_connect(struct link *link, uint32_t id, bool opener)
{
    Bulkhead__Connect connect = BULKHEAD__CONNECT__INIT;
    CLIENT_ENVELOPE(e, CONNECT, connect, &connect);

    connect.opener = opener;
    e.id = id;
    return channel_send_raw(link->starter, &e.base, NULL, 0, false);
}

static void on_starter(int fd, unsigned what, void *arg)
{
    struct link *link = arg;
    ProtobufCMessage *msg = NULL;
    const Bulkhead__ClientEnvelope *e;
    struct asked *a;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(link->starter, false, &bulkhead__client_envelope__descriptor, &msg,
                                &fds, &n_fds);

    (void)fd;
    (void)what;
    if (r == CHANNEL_EMPTY)
        return;
    if (r != 0) {
        (void)loop_event_pause(link->starter_event);
        link->on_end(link->arg);
        return;
    }
    e = (const Bulkhead__ClientEnvelope *)msg;
    if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_SERVE_VM) {
        link->on_serve(link->arg, e->serve_vm);
        return;
    }
    if (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY)
        return;
    if (e->id != 0 && e->id == link->connect_id) {
        on_broker_connected(link, e->reply, fds, n_fds);
        return;
    }
    a = find(link, e->id, true);
    if (a)
        finish(a, e, fds, n_fds);
}

/* ---- requests ---- */

void link_begin(struct link *link)
{
    if (link->connect_id != 0)
        return;
    link->connect_id = ++link->last_id;
    if (say_connect(link, link->connect_id, false) < 0)
        link->connect_id = 0;
}

void link_ask(struct link *link, Bulkhead__ClientEnvelope *request, const int *fds, size_t n_fds,
              link_fn fn, void *arg)
{
    struct asked *a = remember(link, false, fn, arg);

    if (!a) {
        fn(arg, NULL, NULL, 0);
        return;
    }
    a->request = request;
    a->fds = fds;
    a->n_fds = n_fds;
    if (link->broker) {
        send_asked(link, a);
        return;
    }
    link_begin(link);
    if (link->connect_id == 0)
        finish(a, NULL, NULL, 0);
}

void link_ask_opener(struct link *link, link_fn fn, void *arg)
{
    struct asked *a = remember(link, true, fn, arg);

    if (!a)
        fn(arg, NULL, NULL, 0);
    else if (say_connect(link, a->id, true) < 0)
        finish(a, NULL, NULL, 0);
}

int link_new(struct link **ret_link, struct loop *loop, int starter_fd,
             void (*on_serve)(void *arg, const Bulkhead__ServeVm *serve), void (*on_end)(void *arg),
             void *arg)
{
    struct link *link = calloc(1, sizeof *link);
    int r;

    if (!link)
        return err_origin(-ENOMEM, "a gateway's connections");
    *link = (struct link){ .loop = loop, .on_serve = on_serve, .on_end = on_end, .arg = arg };
    r = channel_new(&link->starter, starter_fd, CHANNEL_ARENA_CHILD);
    if (r == 0)
        r = loop_add_fd(loop, starter_fd, LOOP_READ, on_starter, link, &link->starter_event);
    if (r < 0) {
        free(link);
        return err_trace(r);
    }
    *ret_link = link;
    return 0;
}

void link_free(struct link *link)
{
    if (link->broker_event)
        loop_event_free(link->broker_event);
    loop_event_free(link->starter_event);
    channel_free(link->broker);
    channel_free(link->starter);
    free(link);
}
