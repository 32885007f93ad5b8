/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - see sessions.h. No descriptor is taken of a client: who sends one is let go, by the closer. Its place counts
 * against its tenant's connections until that is done. */
#include "hostd/run/sessions.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/rules/answers.h"
#include "hostd/rules/requests.h"
#include "hostd/rules/rights.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/tenants.h"
#include "hostd/run/closer.h"
#include "hostd/run/journal.h"
#include "hostd/run/links.h"
#include "hostd/run/pace.h"
#include "ipc/channel.h"

enum {
    ACCEPT_AGAIN_MS = 100,
    WAKE_MS = 5,
    MAX_GROUPS = 1024,
    MAX_UNREAD = 8, /* answers with descriptors that one has not taken yet */
};

struct client {
    struct sessions *all;
    uint64_t serial;  /* of the rules; 0: the place is free */
    uint64_t whose;   /* to the closer */
    uint64_t guest;   /* of that VM; 0: a client */
    struct pace pace; /* a guest's own */
    struct channel *channel;
    struct loop_event *event;
    bool waits;      /* its socket is not looked at for now */
    uint64_t at_ns;  /* when it may go on; 0: when it has room */
    unsigned unread; /* answers with descriptors since its socket was empty last */
    uint64_t lost;   /* events */
};

struct sessions {
    struct service *s;
    struct client clients[HOST_MAX_SESSIONS]; /* by serial */
    struct loop_event *listen_event, *again, *wake;
    int listen_fd;
    unsigned n_waiting;
    struct paces paces;
    const Bulkhead__HostEnvelope *request; /* that is looked at */
};

static struct client *find(struct service *s, uint64_t serial)
{
    struct client *c = &s->sessions->clients[serial % HOST_MAX_SESSIONS];

    return serial != 0 && c->serial == serial ? c : NULL;
}

/* ---- their ends ---- */

static void forget(struct service *s, uint64_t serial)
{
    struct host_event e = { .kind = HOST_DISCONNECTED, .session = serial };

    s->happen(s, &e);
}

static void let_go(struct client *c)
{
    struct sessions *all = c->all;
    uint64_t serial = c->serial, whose = c->whose, guest = c->guest;
    int fd = channel_fd(c->channel);

    loop_event_free(c->event);
    channel_free(c->channel); /* which leaves the descriptor open */
    all->n_waiting -= c->waits;
    *c = (struct client){ 0 };
    if (closer_close(all->s->closer, whose, serial, fd))
        forget(all->s, serial);
    if (guest != 0)
        all->s->line_ended(all->s, guest);
}

void sessions_closed(struct service *s, uint64_t session)
{
    forget(s, session);
}

void sessions_close(struct service *s, uint64_t session)
{
    struct client *c = find(s, session);

    if (c)
        let_go(c);
}

/* ---- what they ask ---- */

/* Then nobody looks at what it has asked and not heard of: there is nobody to answer. */
static bool has_left(const struct client *c)
{
    struct pollfd p = { .fd = channel_fd(c->channel) };

    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void wait(struct client *c, uint64_t at_ns)
{
    struct sessions *all = c->all;

    if (loop_event_pause(c->event) < 0)
        return;
    c->waits = true;
    c->at_ns = at_ns;
    if (all->n_waiting++ == 0)
        loop_timer_arm(all->wake, WAKE_MS, true);
}

static bool may_go_on(const struct client *c, uint64_t now)
{
    return (c->at_ns != 0 ? c->at_ns <= now : channel_has_room(c->channel)) || has_left(c);
}

static void on_wake(int fd, unsigned what, void *arg)
{
    struct sessions *all = arg;
    uint64_t now = now_ns();

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++) {
        struct client *c = &all->clients[i];

        if (!c->waits || !may_go_on(c, now))
            continue;
        c->waits = false;
        all->n_waiting--;
        (void)loop_event_resume(c->event);
    }
    if (all->n_waiting == 0)
        loop_timer_disarm(all->wake);
}

static void take_request(struct client *c, const Bulkhead__HostEnvelope *request)
{
    struct service *s = c->all->s;
    struct host_event e = { .kind = HOST_REQUEST, .session = c->serial, .request = request };
    Bulkhead__VmSpec *spec = NULL;

    if (request->body_case == BULKHEAD__HOST_ENVELOPE__BODY_CREATE_VM && request->create_vm->spec)
        spec = spec_copy(request->create_vm->spec);
    e.spec = &spec;
    s->sessions->request = request;
    s->happen(s, &e);
    s->sessions->request = NULL;
    if (spec)
        bulkhead__vm_spec__free_unpacked(spec, NULL);
}

/* False: it has to wait. */
static bool may_ask(struct client *c)
{
    const struct session *session = host_session(&c->all->s->host, c->serial);
    const Bulkhead__Tenant *tenant = session ? session->tenant : NULL;
    uint64_t at;

    if (!channel_has_room(c->channel)) {
        wait(c, 0);
        return false;
    }
    at = c->guest != 0 ? pace_take_one(&c->pace, RIGHTS_REQUESTS_PER_S, now_ns())
                       : pace_take(&c->all->paces, tenant ? tenant->name : "",
                                   tenants_requests_per_s(tenant), now_ns());
    if (at != 0)
        wait(c, at);
    return at == 0;
}

/* One at a time: then it is somebody else's turn. */
static void on_client(int fd, unsigned what, void *arg)
{
    struct client *c = arg;
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL, r;

    (void)fd;
    (void)what;
    if (has_left(c)) {
        let_go(c);
        return;
    }
    if (!may_ask(c))
        return;
    r = channel_receive_raw(c->channel, false, &bulkhead__host_envelope__descriptor, &msg, &fds,
                            &n_fds);
    if (r == 0)
        take_request(c, (const Bulkhead__HostEnvelope *)msg);
    else if (r != CHANNEL_EMPTY)
        let_go(c);
}

/* ---- who comes ---- */

static void refuse(int fd)
{
    Bulkhead__HostReply reply = BULKHEAD__HOST_REPLY__INIT;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    char text[] = "too many connections of yours to the service: close one";
    uint8_t bytes[128];

    reply.error = EUSERS;
    reply.text = text;
    e.body_case = BULKHEAD__HOST_ENVELOPE__BODY_REPLY;
    e.reply = &reply;
    if (bulkhead__host_envelope__get_packed_size(&e) <= sizeof bytes)
        (void)!fd_send(fd, bytes, bulkhead__host_envelope__pack(&e, bytes), NULL, 0, MSG_DONTWAIT);
}

/* The primary group first. How many, or -1. */
static int groups_of(int fd, const struct ucred *peer, uint32_t *ret_gids)
{
    socklen_t len = (MAX_GROUPS - 1) * sizeof *ret_gids;

    ret_gids[0] = peer->gid;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &ret_gids[1], &len) < 0)
        return errno == ENODATA ? 1 : -1;
    return 1 + (int)(len / sizeof *ret_gids);
}

static uint64_t whose(const Bulkhead__Tenant *tenant, uint32_t uid)
{
    return tenant ? closer_of_tenant(tenant->name) : closer_of_stranger(uid);
}

/* Takes fd over, also if it fails. guest: the VM's; 0: a client's. */
static bool begin(struct sessions *all, uint64_t serial, uint64_t of, uint64_t guest, int fd)
{
    struct client *c = &all->clients[serial % HOST_MAX_SESSIONS];
    int r = guest != 0 ? channel_new_stream(&c->channel, fd, CHANNEL_ARENA_BROKER)
                       : channel_new(&c->channel, fd, CHANNEL_ARENA_BROKER);

    if (r < 0) {
        close(fd);
        forget(all->s, serial);
        return false;
    }
    channel_refuse_fds(c->channel);
    c->all = all;
    c->serial = serial;
    c->whose = of;
    c->guest = guest;
    if (loop_add_fd(all->s->loop, fd, LOOP_READ, on_client, c, &c->event) == 0)
        return true;
    channel_free(c->channel);
    *c = (struct client){ 0 };
    close(fd);
    forget(all->s, serial);
    return false;
}

/* Takes fd over. */
static void let_in(struct sessions *all, int fd)
{
    uint32_t gids[MAX_GROUPS];
    struct ucred peer = { .uid = (uid_t)-1 };
    socklen_t len = sizeof peer;
    uint64_t serial = 0;
    struct host_event e = { .kind = HOST_CONNECTED, .ret_session = &serial, .gids = gids };
    const Bulkhead__Tenant *tenant = NULL;
    int n = -1;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        n = groups_of(fd, &peer, gids);
    if (n > 0) {
        e.uid = peer.uid;
        e.n_gids = (unsigned)n;
        tenant = tenants_who(all->s->host.config, peer.uid, gids, e.n_gids);
        all->s->happen(all->s, &e);
    }
    if (serial == 0) {
        refuse(fd);
        (void)closer_close(all->s->closer, whose(tenant, peer.uid), 0, fd);
        return;
    }
    (void)begin(all, serial, whose(tenant, peer.uid), 0, fd);
}

bool sessions_take_guest(struct service *s, uint64_t vm, int fd)
{
    uint64_t serial = 0;
    struct host_event e = { .kind = HOST_CONNECTED, .ret_session = &serial, .vm = vm };
    const struct session *session;
    const struct host_vm *of;

    s->happen(s, &e);
    session = host_session(&s->host, serial);
    if (!session) {
        of = host_vm(&s->host, vm);
        closer_drop(s->closer, closer_of_tenant(of ? of->tenant : ""), fd);
        return false;
    }
    return begin(s->sessions, serial, whose(session->tenant, 0), vm, fd);
}

static void on_again(int fd, unsigned what, void *arg)
{
    struct sessions *all = arg;

    (void)fd;
    (void)what;
    (void)loop_event_resume(all->listen_event);
}

static void on_connection(int fd, unsigned what, void *arg)
{
    struct sessions *all = arg;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)what;
    if (client >= 0)
        let_in(all, client);
    /* Without a descriptor for it the connection stays: it would be told of again at once. */
    else if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) &&
             loop_event_pause(all->listen_event) == 0)
        loop_timer_arm(all->again, ACCEPT_AGAIN_MS, false);
}

/* ---- what they are told ---- */

/* One that doesn't take an answer, or can't, is let go: it would wait for ever. */
static void send_to(struct client *c, const Bulkhead__HostEnvelope *e, const int *fds, size_t n_fds)
{
    int r = channel_send_raw(c->channel, &e->base, fds, n_fds, false);

    if (r < 0)
        let_go(c);
}

/* Descriptors in flight are counted for the whole service: nobody keeps many of them there. */
static bool may_have_more(struct client *c)
{
    int unread = 0;

    if (ioctl(channel_fd(c->channel), SIOCOUTQ, &unread) < 0 || unread == 0)
        c->unread = 0;
    return c->unread++ < MAX_UNREAD;
}

/* How many of the reported ones go along; those of a broker with what the session may not do. */
static size_t take_reported(struct service *s, struct client *c, const struct host_action *a,
                            int *ret_fds, struct fault *f)
{
    size_t n = 0;

    if (!may_have_more(c)) {
        fault_host(f, EAGAIN, "take the answers that were sent before");
        return 0;
    }
    if (a->limits.limited && s->reported[0] >= 0 &&
        links_limit(s, s->reported[0], &a->limits) < 0) {
        fault_host(f, EAGAIN, "the VM's broker takes nothing: try again");
        return 0;
    }
    for (unsigned i = 0; i < STARTER_MAX_FDS; i++)
        if (s->reported[i] >= 0)
            ret_fds[n++] = s->reported[i]; /* closed by who reported them */
    return n;
}

void sessions_reply(struct service *s, const struct host_action *a)
{
    struct client *c = find(s, a->ticket.session);
    Bulkhead__HostReply reply = BULKHEAD__HOST_REPLY__INIT;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    struct fault f = { .error = a->error, .bad_input = a->bad_input };
    int fds[STARTER_MAX_FDS];
    size_t n = 0;

    if (!c)
        return;
    snprintf(f.text, sizeof f.text, "%s", a->text);
    if (a->flag)
        n = take_reported(s, c, a, fds, &f);
    reply.error = f.error;
    reply.bad_input = f.bad_input;
    reply.text = f.text;
    e.id = a->ticket.request;
    e.body_case = BULKHEAD__HOST_ENVELOPE__BODY_REPLY;
    e.reply = &reply;
    send_to(c, &e, fds, n);
}

void sessions_answer(struct service *s, const struct host_action *a)
{
    const struct host_action no_memory = {
        .kind = HOST_REPLY, .ticket = a->ticket, .error = ENOMEM, .text = "no memory for the answer"
    };
    struct client *c = find(s, a->ticket.session);
    struct answer *answer = answers_make(&s->host, a, s->sessions->request);

    if (c && answer)
        send_to(c, answers_envelope(answer), NULL, 0);
    else if (c)
        sessions_reply(s, &no_memory);
    answers_free(answer);
}

static void tell(struct client *c, Bulkhead__HostEvent *event)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    int r;

    e.body_case = BULKHEAD__HOST_ENVELOPE__BODY_HOST_EVENT;
    e.host_event = event;
    event->lost = c->lost;
    /* Of a stream a part would be sent, which ends it. */
    r = c->guest != 0 && !channel_has_room(c->channel)
            ? -EAGAIN
            : channel_send_raw(c->channel, &e.base, NULL, 0, false);
    if (r == 0)
        c->lost = 0;
    else if (r == -EAGAIN || r == -EMSGSIZE)
        c->lost++;
    else
        let_go(c);
}

void sessions_notice(struct service *s, const struct host_action *a)
{
    Bulkhead__HostEvent event = BULKHEAD__HOST_EVENT__INIT;
    Bulkhead__Event own = BULKHEAD__EVENT__INIT, bare = BULKHEAD__EVENT__INIT, *whole;
    Bulkhead__KeyValue text = BULKHEAD__KEY_VALUE__INIT, *properties[] = { &text };
    char source[] = "host", key[] = "text";

    /* protobuf-c has no const; it only reads what is packed. */
    event.sequence = a->sequence;
    event.tenant = (char *)(uintptr_t)a->tenant;
    event.vm = (char *)(uintptr_t)a->vm_name;
    own.time_ns = clock_ns(CLOCK_REALTIME);
    own.source = source;
    own.event = (char *)(uintptr_t)(a->name ? a->name : "");
    text.key = key;
    text.value = (char *)(uintptr_t)a->text;
    own.properties = properties;
    own.n_properties = a->text[0] != '\0' ? 1 : 0;
    event.event = whole = a->said ? (Bulkhead__Event *)(uintptr_t)a->said : &own;
    bare.time_ns = whole->time_ns; /* files of the host may be in the rest */
    bare.source = whole->source;
    bare.event = whole->event;
    journal_tell(s->journal, &event, now_ns());
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++) {
        struct client *c = &s->sessions->clients[i];
        const struct session *session = host_session(&s->host, c->serial);

        if (!session || !session->follows || !request_may_hear(&s->host, session, a))
            continue;
        /* From a number that counts all events a tenant would hear how much happens at the others; a guest, elsewhere at its own. */
        event.sequence = c->guest != 0 ? 0 : session->tenant->host ? a->sequence : a->of_tenant;
        event.event = c->guest != 0 ? &bare : whole;
        tell(c, &event);
    }
}

/* ---- their life ---- */

int sessions_new(struct service *s, int listen_fd)
{
    struct sessions *all = calloc(1, sizeof *all);
    int r;

    if (!all)
        return err_origin(-ENOMEM, "sessions");
    all->s = s;
    all->listen_fd = listen_fd;
    s->sessions = all;
    r = loop_add_timer(s->loop, on_again, all, &all->again);
    if (r == 0)
        r = loop_add_timer(s->loop, on_wake, all, &all->wake);
    return r < 0 ? err_trace(r) : 0;
}

int sessions_listen(struct service *s)
{
    struct sessions *all = s->sessions;

    return loop_add_fd(s->loop, all->listen_fd, LOOP_READ, on_connection, all, &all->listen_event);
}

void sessions_free(struct service *s)
{
    struct sessions *all = s->sessions;

    if (!all)
        return;
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++)
        if (all->clients[i].serial != 0) {
            int fd = channel_fd(all->clients[i].channel);

            loop_event_free(all->clients[i].event);
            channel_free(all->clients[i].channel);
            (void)closer_close(s->closer, all->clients[i].whose, 0, fd);
        }
    if (all->listen_event)
        loop_event_free(all->listen_event);
    if (all->again)
        loop_event_free(all->again);
    if (all->wake)
        loop_event_free(all->wake);
    free(all);
    s->sessions = NULL;
}
