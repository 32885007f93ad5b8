// SPDX-License-Identifier: Apache-2.0
// client_bytes.c - what a client says to the broker of a VM that runs, byte by byte: messages of client.proto as they are, some
// with descriptors. Whatever comes, no request has two answers, what can't be decoded ends the session and nothing else, and
// the VM can be ended. fuzz_vm_step has what follows of commands.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../unit/broker/rig.h"
#include "api/requests.h"
#include "api/session.h"
#include "base/fd.h"
#include "run/happen.h"

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "client_bytes: not so: %s\n", #what);                                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MESSAGES = 16, TURN_MS = 2, HEADER = 3, FDS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;
static struct sessions sessions;
static unsigned n_replies;

static void on_stop(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    loop_quit(arg, 0);
}

/* What the broker has to do, it does. */
static void turn(void)
{
    struct loop_event *timer;

    CHECK(loop_add_timer(rig.loop, on_stop, rig.loop, &timer) == 0);
    CHECK(loop_timer_arm(timer, TURN_MS, false) == 0);
    CHECK(loop_run(rig.loop) == 0);
    loop_event_free(timer);
    rig_spawn(&rig);
}

/* A message: how many bytes, with how many descriptors; and then its bytes. */
static size_t say(int fd, const uint8_t *data, size_t size)
{
    size_t len = MIN((size_t)(data[0] | data[1] << 8), size - HEADER);
    int fds[FDS];
    unsigned n = data[2] % (FDS + 1);

    for (unsigned i = 0; i < n; i++)
        fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)!fd_send(fd, data + HEADER, len, fds, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
    return HEADER + len;
}

/* Of which the first ones have ids of their own: who sends one twice has two answers. */
static void hear(struct channel *channel, unsigned n_said)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds;

    while (channel_receive_raw(channel, false, &bulkhead__client_envelope__descriptor, &msg, &fds,
                               &n_fds) == 0) {
        const Bulkhead__ClientEnvelope *e = (const Bulkhead__ClientEnvelope *)msg;

        n_replies += e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT &&
                     e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED;
        CHECK(n_replies <= n_said);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct command stop = { .kind = COMMAND_STOP };
    const struct event end = { .kind = EVENT_COMMAND, .command = &stop };
    struct channel *client;
    unsigned n_said = 0;
    int pair[2];

    memset(&sessions, 0, sizeof sessions);
    n_replies = 0;
    rig_run(&rig, 5);
    session_init(&sessions, &rig.in, request_take);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(session_add(&sessions, pair[0], false) == 0);
    CHECK(channel_new(&client, pair[1], CHANNEL_ARENA_BROKER) == 0);
    while (size > HEADER && n_said < MESSAGES) {
        size_t used = say(pair[1], data, size);

        data += used;
        size -= used;
        n_said++;
    }
    turn();
    hear(client, n_said);
    happen(&rig.in, &end);
    CHECK(rig.in.vm.phase == VM_ENDING || rig.in.vm.phase == VM_GONE);
    channel_free(client);
    session_close_all(&sessions);
    rig_end(&rig);
    return 0;
}
