/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - the command socket: who is connected, and what is said to them. A client that does
 * not read is dropped; nothing a client does blocks the broker. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "vm.h"

enum { MAX_PROPERTIES = 6, LAST_WORDS_MS = 1000 };

static void drop(struct client *client)
{
    if (client->event)
        loop_event_free(client->event);
    channel_free(client->channel);
    memset(client, 0, sizeof *client);
}

int session_send(struct client *client, const Bulkhead__ClientEnvelope *envelope)
{
    int r = channel_send_raw(client->channel, &envelope->base, NULL, 0, false);

    /* The one who runs the VM may be slow without losing it: it only misses this message. */
    if (r < 0 && !(client->is_run && r == -EAGAIN))
        client->subscribed = false;
    return r;
}

/* Whoever ran the VM is gone, perhaps killed with its terminal still raw. */
static void on_run_client_gone(struct vm *vm)
{
    if (vm->has_tty && tcsetattr(vm->tty_fd, TCSANOW, &vm->termios) < 0)
        log_debug("terminal: %s", strerror(errno));
    vm_end(vm, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, true, false, "its client is gone");
}

static void on_client(int fd, unsigned what, void *arg)
{
    struct client *client = arg;
    struct vm *vm = client->vm;

    (void)fd;
    (void)what;
    for (int turn = 0; turn < 8 && client->serial != 0; turn++) {
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
                on_run_client_gone(vm);
            return;
        }
        session_request(client, (const Bulkhead__ClientEnvelope *)msg);
    }
}

int session_add(struct vm *vm, int fd, bool is_run)
{
    struct client *client = NULL;
    int r;

    for (unsigned i = 0; i < VM_MAX_CLIENTS && !client; i++)
        if (vm->clients[i].serial == 0)
            client = &vm->clients[i];
    if (!client)
        return err_origin(-EBUSY, "too many clients");
    memset(client, 0, sizeof *client);
    r = channel_new(&client->channel, fd, CHANNEL_ARENA_BROKER);
    if (r < 0)
        return err_trace(r);
    r = loop_add_fd(vm->loop, fd, LOOP_READ, on_client, client, &client->event);
    if (r < 0) {
        channel_free(client->channel);
        client->channel = NULL;
        return err_trace(r);
    }
    client->vm = vm;
    client->serial = ++vm->next_client;
    client->is_run = client->subscribed = is_run;
    return 0;
}

static void on_connection(int fd, unsigned what, void *arg)
{
    struct vm *vm = arg;
    struct ucred peer = { .uid = (uid_t)-1 };
    socklen_t len = sizeof peer;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)what;
    if (client < 0)
        return;
    /* The directory is private already; this holds when somebody opened it up. */
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        (peer.uid != vm->host.uid && peer.uid != 0) || session_add(vm, client, false) < 0)
        close(client);
}

int session_listen(struct vm *vm)
{
    return loop_add_fd(vm->loop, vm->rundir.listen_fd, LOOP_READ, on_connection, vm,
                       &vm->listen_event);
}

void session_close_all(struct vm *vm)
{
    if (vm->listen_event)
        loop_event_free(vm->listen_event);
    vm->listen_event = NULL;
    for (unsigned i = 0; i < VM_MAX_CLIENTS; i++)
        if (vm->clients[i].serial != 0)
            drop(&vm->clients[i]);
}

void session_reply(struct vm *vm, uint64_t serial, uint32_t request, const struct fault *fault)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);
    char text[FAULT_TEXT_MAX];

    snprintf(text, sizeof text, "%s", fault->text);
    reply.error = fault->error;
    reply.bad_input = fault->bad_input;
    reply.text = text;
    e.id = request;
    for (unsigned i = 0; i < VM_MAX_CLIENTS; i++)
        if (serial != 0 && vm->clients[i].serial == serial)
            session_send(&vm->clients[i], &e);
}

static uint64_t realtime_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void to_listeners(struct vm *vm, const Bulkhead__ClientEnvelope *e)
{
    for (unsigned i = 0; i < VM_MAX_CLIENTS; i++)
        if (vm->clients[i].serial != 0 && vm->clients[i].subscribed)
            session_send(&vm->clients[i], e);
}

void session_event(struct vm *vm, const char *source, const char *name, ...)
{
    Bulkhead__KeyValue values[MAX_PROPERTIES], *pointers[MAX_PROPERTIES];
    char texts[MAX_PROPERTIES][2][256];
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    CLIENT_ENVELOPE(e, EVENT, event, &event);
    char source_text[32], name_text[48];
    const char *key;
    va_list args;

    snprintf(source_text, sizeof source_text, "%s", source);
    snprintf(name_text, sizeof name_text, "%s", name);
    event.time_ns = realtime_ns();
    event.source = source_text;
    event.event = name_text;
    event.properties = pointers;
    va_start(args, name);
    while (event.n_properties < MAX_PROPERTIES && (key = va_arg(args, const char *)) != NULL) {
        size_t i = event.n_properties++;

        snprintf(texts[i][0], sizeof texts[i][0], "%s", key);
        snprintf(texts[i][1], sizeof texts[i][1], "%s", va_arg(args, const char *));
        bulkhead__key_value__init(&values[i]);
        values[i].key = texts[i][0];
        values[i].value = texts[i][1];
        pointers[i] = &values[i];
    }
    va_end(args);
    to_listeners(vm, &e);
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

void session_ended(struct vm *vm)
{
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    CLIENT_ENVELOPE(e, VM_ENDED, vm_ended, &ended);
    CLIENT_ENVELOPE(r, REPLY, reply, &reply);
    bool never_ran = !vm->ran && vm->end_fault.error != 0;

    ended.state = vm->end_state;
    ended.detail = vm->end_detail;
    ended.by_user = vm->end_by_user;
    ended.host_failure = vm->end_host_failure;
    reply.error = vm->end_fault.error;
    reply.bad_input = vm->end_fault.bad_input;
    reply.text = vm->end_fault.text;
    for (unsigned i = 0; i < VM_MAX_CLIENTS; i++) {
        struct client *client = &vm->clients[i];

        if (client->serial == 0 || !client->subscribed)
            continue;
        send_last(client, client->is_run && never_ran ? &r : &e);
    }
}
