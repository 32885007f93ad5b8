/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - see session.h. */
#include "api/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "run/happen.h"
#include "run/keeper.h"

enum { LAST_WORDS_MS = 1000, ACCEPT_AGAIN_MS = 100, REQUESTS_PER_TURN = 8 };

static void drop(struct client *client)
{
    if (client->event)
        loop_event_free(client->event);
    channel_free(client->channel);
    memset(client, 0, sizeof *client);
}

int session_send(struct client *client, const Bulkhead__ClientEnvelope *envelope)
{
    return channel_send_raw(client->channel, &envelope->base, NULL, 0, false);
}

/* device: NULL, or the one that was added. */
static void reply(struct client *client, uint32_t request, const struct fault *fault,
                  const struct plan_device *device)
{
    char id[PLAN_NAME_BYTES], address[16];
    Bulkhead__Reply r = fault_reply(fault);
    CLIENT_ENVELOPE(e, REPLY, reply, &r);

    if (device) {
        snprintf(id, sizeof id, "%s", device->name);
        plan_address(device, address, sizeof address);
        r.device = id;
        r.address = address;
    }
    e.id = request;
    session_send(client, &e);
}

void session_reply(struct client *client, uint32_t request, const struct fault *fault)
{
    reply(client, request, fault, NULL);
}

/* ---- who comes, asks and goes ---- */

/* Whoever ran the VM is gone, perhaps killed with its terminal still raw. A service's launcher has done its work. */
static void on_run_client_gone(struct instance *in)
{
    struct event e = { .kind = EVENT_END };

    if (in->is_service) {
        keeper_drop_client(in);
        return;
    }
    if (in->has_tty && tcsetattr(in->tty_fd, TCSANOW, &in->termios) < 0)
        log_debug("terminal: %s", strerror(errno));
    snprintf(e.fault.text, sizeof e.fault.text, "its client is gone");
    happen(in, &e);
}

static void on_client(int fd, unsigned what, void *arg)
{
    struct client *client = arg;
    struct sessions *s = client->sessions;

    (void)fd;
    (void)what;
    for (int turn = 0; turn < REQUESTS_PER_TURN && client->serial != 0; turn++) {
        ProtobufCMessage *msg = NULL;
        size_t n_fds = 0;
        int *fds = NULL;
        int r = channel_receive_raw(client->channel, false, &bulkhead__client_envelope__descriptor,
                                    &msg, &fds, &n_fds);

        if (r == CHANNEL_EMPTY)
            return;
        if (r != 0) {
            bool is_run = client->is_run;

            drop(client);
            if (is_run)
                on_run_client_gone(s->in);
            return;
        }
        client->heard_ns = now_ns();
        client->n_heard++;
        client->fds = fds;
        client->n_fds = n_fds;
        s->on_request(client, (const Bulkhead__ClientEnvelope *)msg);
    }
}

/* A free place; else that of the client that has been silent longest, of those that listen last. Somebody must always get in: to stop
 * the VM, for one. */
static struct client *find_place(struct sessions *s)
{
    struct client *oldest = NULL;

    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        struct client *c = &s->clients[i];

        if (c->serial == 0)
            return c;
        if (!c->is_run && (!oldest || (oldest->subscribed && !c->subscribed) ||
                           (oldest->subscribed == c->subscribed && c->heard_ns < oldest->heard_ns)))
            oldest = c;
    }
    if (oldest)
        drop(oldest);
    return oldest;
}

int session_add(struct sessions *s, int fd, bool is_run)
{
    struct client *client = find_place(s);
    int r;

    if (!client)
        return err_origin(-EBUSY, "too many clients");
    memset(client, 0, sizeof *client);
    r = channel_new(&client->channel, fd, CHANNEL_ARENA_CLIENT);
    if (r < 0)
        return err_trace(r);
    r = loop_add_fd(s->in->loop, fd, LOOP_READ, on_client, client, &client->event);
    if (r < 0) {
        channel_free(client->channel);
        client->channel = NULL;
        return err_trace(r);
    }
    client->sessions = s;
    client->serial = ++s->next;
    client->heard_ns = now_ns();
    client->is_run = client->subscribed = is_run;
    return 0;
}

static void on_again(int fd, unsigned what, void *arg)
{
    struct sessions *s = arg;

    (void)fd;
    (void)what;
    (void)loop_event_resume(s->listen_event);
}

static void on_connection(int fd, unsigned what, void *arg)
{
    struct sessions *s = arg;
    struct ucred peer = { .uid = (uid_t)-1 };
    socklen_t len = sizeof peer;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)what;
    if (client < 0) {
        /* Without a descriptor for it the connection stays: it would be told of again at once. */
        if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) &&
            loop_event_pause(s->listen_event) == 0)
            loop_timer_arm(s->again, ACCEPT_AGAIN_MS, false);
        return;
    }
    /* The directory is private already; this holds when somebody opened it up. */
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        (peer.uid != s->in->host.uid && peer.uid != 0) || session_add(s, client, false) < 0)
        close(client);
}

int session_listen(struct sessions *s)
{
    int r = loop_add_timer(s->in->loop, on_again, s, &s->again);

    if (r == 0)
        r = loop_add_fd(s->in->loop, s->in->rundir.listen_fd, LOOP_READ, on_connection, s,
                        &s->listen_event);
    return r < 0 ? err_trace(r) : 0;
}

void session_close_all(struct sessions *s)
{
    if (s->listen_event)
        loop_event_free(s->listen_event);
    if (s->again)
        loop_event_free(s->again);
    s->listen_event = s->again = NULL;
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if (s->clients[i].serial != 0)
            drop(&s->clients[i]);
}

/* ---- what they are told ---- */

/* How many it had no room for. */
static int tell_missed(struct client *client)
{
    Bulkhead__KeyValue value = BULKHEAD__KEY_VALUE__INIT, *values[] = { &value };
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    CLIENT_ENVELOPE(e, EVENT, event, &event);
    char count[24], key[] = "count", source[] = "events", name[] = "missed";
    int r;

    snprintf(count, sizeof count, "%llu", (unsigned long long)client->missed);
    value.key = key;
    value.value = count;
    event.time_ns = clock_ns(CLOCK_REALTIME);
    event.source = source;
    event.event = name;
    event.properties = values;
    event.n_properties = 1;
    r = session_send(client, &e);
    if (r == 0)
        client->missed = 0;
    return r;
}

static void tell(struct client *client, const Bulkhead__ClientEnvelope *e)
{
    int r = client->missed > 0 ? tell_missed(client) : 0;

    if (r == 0)
        r = session_send(client, e);
    if (r == -EAGAIN)
        client->missed++;
    else if (r < 0)
        client->subscribed = false;
}

static void on_notice(void *arg, const struct action *a)
{
    struct sessions *s = arg;
    Bulkhead__KeyValue values[ACTION_MAX_KEYS], *pointers[ACTION_MAX_KEYS];
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    CLIENT_ENVELOPE(e, EVENT, event, &event);
    const char *value = a->text;

    /* protobuf-c has no const; it only reads what is packed. */
    event.time_ns = clock_ns(CLOCK_REALTIME);
    event.source = (char *)(uintptr_t)a->source;
    event.event = (char *)(uintptr_t)a->name;
    event.properties = pointers;
    for (unsigned i = 0; i < ACTION_MAX_KEYS && a->keys[i]; i++) {
        bulkhead__key_value__init(&values[i]);
        values[i].key = (char *)(uintptr_t)a->keys[i];
        values[i].value = (char *)(uintptr_t)value;
        value += strlen(value) + 1;
        pointers[event.n_properties++] = &values[i];
    }
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if (s->clients[i].serial != 0 && s->clients[i].subscribed)
            tell(&s->clients[i], &e);
}

static void on_reply(void *arg, const struct action *a)
{
    struct sessions *s = arg;
    struct fault f = { .error = a->error, .bad_input = a->bad_input };

    snprintf(f.text, sizeof f.text, "%s", a->text);
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if (s->clients[i].serial == a->ticket.session)
            reply(&s->clients[i], a->ticket.request, &f,
                  a->flag ? &s->in->plan.devices[a->device] : NULL);
}

/* The last words may wait a moment for a client that is behind. */
static void send_last(struct client *client, const Bulkhead__ClientEnvelope *e)
{
    struct pollfd p = { .fd = channel_fd(client->channel), .events = POLLOUT };

    if (session_send(client, e) != -EAGAIN)
        return;
    if (poll(&p, 1, LAST_WORDS_MS) == 1)
        session_send(client, e);
}

/* VmEnded, or a Reply when the guest never ran. */
static void on_ended(void *arg)
{
    struct sessions *s = arg;
    struct vm *vm = &s->in->vm;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    CLIENT_ENVELOPE(e, VM_ENDED, vm_ended, &ended);
    CLIENT_ENVELOPE(r, REPLY, reply, &reply);
    bool never_ran = !vm->ran && vm->end.fault.error != 0;

    ended.state = vm->end.state;
    ended.detail = vm->end.detail;
    ended.by_user = vm->end.by == END_BY_USER;
    ended.host_failure = vm->end.by == END_BY_HOST;
    reply.error = vm->end.fault.error;
    reply.bad_input = vm->end.fault.bad_input;
    reply.text = vm->end.fault.text;
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        struct client *client = &s->clients[i];

        if (client->serial != 0 && client->subscribed)
            send_last(client, client->is_run && never_ran ? &r : &e);
    }
    loop_quit(s->in->loop, 0);
}

void session_init(struct sessions *s, struct instance *in,
                  void (*on_request)(struct client *client,
                                     const Bulkhead__ClientEnvelope *request))
{
    s->in = in;
    s->on_request = on_request;
    in->audience =
        (struct audience){ .notice = on_notice, .reply = on_reply, .ended = on_ended, .arg = s };
}
