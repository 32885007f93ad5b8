/* SPDX-License-Identifier: Apache-2.0 */
/* channel_test.c - messages and descriptors over a real socket pair, hostile peers included. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "ipc/channel.h"
#include "ipc/cpu_bits.h"

struct pair {
    struct channel *a, *b;
};

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
    assert_int_equal(channel_new(&p->a, sv[0], CHANNEL_ARENA_CHILD), 0);
    assert_int_equal(channel_new(&p->b, sv[1], CHANNEL_ARENA_CHILD), 0);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;

    channel_free(p->a);
    channel_free(p->b);
    free(p);
    return 0;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void message_and_fds_arrive(void **state)
{
    struct pair *p = *state;
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;
    int fds[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
                   open("/dev/zero", O_RDONLY | O_CLOEXEC) };
    int before = count_fds();
    struct message msg;

    ENVELOPE(e, RESET, reset, &reset);
    reset.slot = 9;
    assert_int_equal(channel_receive(p->b, false, &msg), CHANNEL_EMPTY);
    assert_int_equal(channel_send(p->a, &e, fds, 2, true), 0);
    assert_int_equal(channel_receive(p->b, true, &msg), 0);
    assert_int_equal(msg.envelope->body_case, BULKHEAD__ENVELOPE__BODY_RESET);
    assert_int_equal(msg.envelope->reset->slot, 9);
    assert_int_equal(msg.n_fds, 2);
    assert_true(fcntl(msg.fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(count_fds(), before + 2);
    /* what the handler did not take is gone with the next receive */
    assert_int_equal(channel_receive(p->b, false, &msg), CHANNEL_EMPTY);
    assert_int_equal(count_fds(), before);
    close(fds[0]);
    close(fds[1]);
}

/* All vCPUs pinned, each to the last of 1024 CPUs. */
static void largest_affinity_fits_a_child(void **state)
{
    struct pair *p = *state;
    Bulkhead__Configure configure = BULKHEAD__CONFIGURE__INIT;
    Bulkhead__CoreConfig core = BULKHEAD__CORE_CONFIG__INIT;
    Bulkhead__VcpuAffinity affinity[64], *list[64];
    uint8_t bits[CPU_BITS_BYTES] = { 0 };
    struct message msg;

    ENVELOPE(e, CONFIGURE, configure, &configure);
    cpu_bits_add(bits, CPU_BITS_MAX - 1);
    for (unsigned i = 0; i < 64; i++) {
        bulkhead__vcpu_affinity__init(&affinity[i]);
        affinity[i].vcpu = i;
        affinity[i].host_cpus = (ProtobufCBinaryData){ cpu_bits_len(bits), bits };
        list[i] = &affinity[i];
    }
    core.affinity = list;
    core.n_affinity = 64;
    configure.role_case = BULKHEAD__CONFIGURE__ROLE_CORE;
    configure.core = &core;
    assert_int_equal(channel_send(p->a, &e, NULL, 0, true), 0);
    assert_int_equal(channel_receive(p->b, true, &msg), 0);
    assert_true(cpu_bits_has(&msg.envelope->configure->core->affinity[63]->host_cpus, 1023));
}

static void garbage_is_refused(void **state)
{
    static const uint8_t garbage[] = { 0xff, 0xff, 0xff, 0xff, 0x01 };
    struct pair *p = *state;
    struct message msg;

    assert_int_equal(send(channel_fd(p->a), garbage, sizeof garbage, 0), (int)sizeof garbage);
    assert_int_equal(channel_receive(p->b, false, &msg), -EBADMSG);
    /* a well-formed envelope without a body, as an unknown body looks to us */
    assert_int_equal(send(channel_fd(p->a), "\x08\x01", 2, 0), 2);
    assert_int_equal(channel_receive(p->b, false, &msg), -EBADMSG);
}

static void oversized_datagram_is_refused(void **state)
{
    struct pair *p = *state;
    struct message msg;
    char *big = calloc(1, CHANNEL_MAX_BYTES + 1);

    assert_int_equal(send(channel_fd(p->a), big, CHANNEL_MAX_BYTES + 1, 0), CHANNEL_MAX_BYTES + 1);
    assert_int_equal(channel_receive(p->b, false, &msg), -EBADMSG);
    free(big);
}

/* Many tiny sub-messages unpack to far more than they weigh: the arena's bound must hold. */
static void amplification_hits_the_arena(void **state)
{
    static Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT;
    static Bulkhead__QueueState *queues[4000];
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    struct pair *p = *state;
    struct message msg;

    ENVELOPE(e, ACTIVATE, activate, &activate);
    for (size_t i = 0; i < ARRAY_SIZE(queues); i++)
        queues[i] = &queue;
    activate.n_queues = ARRAY_SIZE(queues);
    activate.queues = queues;
    assert_int_equal(channel_send(p->a, &e, NULL, 0, true), 0);
    assert_int_equal(channel_receive(p->b, false, &msg), -EBADMSG);
}

static void too_many_fds_leak_nothing(void **state)
{
    enum { N = 250 };
    struct pair *p = *state;
    char control[CMSG_SPACE(sizeof(int) * N)] __attribute__((aligned(8)));
    struct iovec iov = { .iov_base = (char[]){ 8, 1 }, .iov_len = 2 };
    struct msghdr hdr = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
    int before = count_fds();
    struct message msg;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * N);
    for (int i = 0; i < N; i++)
        memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &(int){ 0 }, sizeof(int));
    assert_int_equal(sendmsg(channel_fd(p->a), &hdr, 0), 2);
    assert_int_equal(channel_receive(p->b, false, &msg), -EBADMSG);
    assert_int_equal(channel_receive(p->b, false, &msg), CHANNEL_EMPTY);
    assert_int_equal(count_fds(), before);
}

static void closed_and_full_are_told_apart(void **state)
{
    Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
    struct pair *p = *state;
    struct message msg;
    int r;

    ENVELOPE(e, STOP, stop, &stop);
    do
        r = channel_send(p->a, &e, NULL, 0, false);
    while (r == 0);
    assert_int_equal(r, -EAGAIN);
    channel_freep(&p->a);
    do
        r = channel_receive(p->b, false, &msg);
    while (r == 0);
    assert_int_equal(r, CHANNEL_CLOSED);
    assert_int_equal(channel_send(p->b, &e, NULL, 0, false), -EPIPE); /* and no SIGPIPE */
}

/* Of one that takes no descriptors: it is closed at its end unless some have come, which would be let go of then. */
static void what_refuses_descriptors_is_closed_without_any(void **state)
{
    static const struct {
        int messages; /* plain ones before it, the first of them empty */
        bool fd;
    } rows[] = {
        { 0, false }, { 1, false }, { 30, false }, { 0, true }, { 1, true }, { 30, true }
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pollfd sent = { 0 };
        struct channel *channel;
        int pair[2], pipe_fds[2], left;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        left = pair[1];
        assert_int_equal(channel_new(&channel, pair[1], CHANNEL_ARENA_CHILD), 0);
        channel_refuse_fds(channel);
        for (int j = 0; j < rows[i].messages; j++)
            assert_int_equal(send(pair[0], "x", j > 0, 0), j > 0);
        if (rows[i].fd)
            assert_int_equal(fd_send(pair[0], "", 0, &pipe_fds[1], 1, 0), 0);
        close(pipe_fds[1]);
        channel_end(&channel);
        assert_null(channel);
        sent.fd = pipe_fds[0];
        assert_int_equal(poll(&sent, 1, 0) == 0, rows[i].fd);
        assert_int_equal(fcntl(left, F_GETFD) >= 0, rows[i].fd);
        if (rows[i].fd)
            close(left);
        close(pair[0]);
        close(pipe_fds[0]);
    }
}

/* ---- a stream ---- */

static int stream_setup(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    assert_int_equal(channel_new_stream(&p->a, sv[0], CHANNEL_ARENA_CHILD), 0);
    assert_int_equal(channel_new_stream(&p->b, sv[1], CHANNEL_ARENA_CHILD), 0);
    *state = p;
    return 0;
}

static void send_reset(struct channel *channel, uint32_t slot)
{
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;

    ENVELOPE(e, RESET, reset, &reset);
    reset.slot = slot;
    assert_int_equal(channel_send(channel, &e, NULL, 0, false), 0);
}

/* However it is cut: what a stream brings are messages, and what is sent meanwhile is not mixed with them. */
static void a_stream_is_cut_anywhere(void **state)
{
    struct pair *p = *state;
    uint8_t bytes[64];
    struct message msg;
    ssize_t n;

    send_reset(p->a, 5);
    send_reset(p->a, 6);
    n = recv(channel_fd(p->b), bytes, sizeof bytes, 0);
    assert_true(n > 8 && bytes[0] == n / 2 - 4 && bytes[3] == 0);
    for (ssize_t i = 0; i < n; i++) {
        int r;

        assert_int_equal(send(channel_fd(p->a), &bytes[i], 1, MSG_NOSIGNAL), 1);
        r = channel_receive(p->b, false, &msg);
        assert_int_equal(r, i % (n / 2) == n / 2 - 1 ? 0 : CHANNEL_EMPTY);
        if (r == 0)
            assert_int_equal(msg.envelope->reset->slot, i < n / 2 ? 5 : 6);
        else
            send_reset(p->b, 7);
    }
    send_reset(p->a, 8);
    send_reset(p->a, 9); /* two at once */
    for (unsigned slot = 8; slot <= 9; slot++) {
        assert_int_equal(channel_receive(p->b, true, &msg), 0);
        assert_int_equal(msg.envelope->reset->slot, slot);
    }
    assert_int_equal(channel_receive(p->a, true, &msg), 0);
    assert_int_equal(msg.envelope->reset->slot, 7);
    shutdown(channel_fd(p->a), SHUT_WR);
    assert_int_equal(channel_receive(p->b, true, &msg), CHANNEL_CLOSED);
}

static void a_streams_garbage_is_refused(void **state)
{
    static const struct {
        uint8_t bytes[8];
        size_t len;
        int want;
    } rows[] = {
        { { 0, 0, 0, 0 }, 4, -EBADMSG },             /* nothing */
        { { 1, 0, 1, 0 }, 4, -EBADMSG },             /* a byte too many */
        { { 255, 255, 255, 255 }, 4, -EBADMSG },     /* all there are */
        { { 4, 0, 0, 0, 9, 9, 9, 9 }, 8, -EBADMSG }, /* no message */
        { { 4, 0, 0, 0, 9 }, 5, CHANNEL_EMPTY },     /* and none yet */
        { { 0, 0, 1, 0 }, 4, CHANNEL_EMPTY },        /* the longest */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct message msg;
        struct pair *p;
        void *made;

        stream_setup(&made);
        p = made;
        assert_int_equal(send(channel_fd(p->a), rows[i].bytes, rows[i].len, 0),
                         (ssize_t)rows[i].len);
        assert_int_equal(channel_receive(p->b, false, &msg), rows[i].want);
        teardown(&made);
    }
}

/* Who takes none has none to close: they stay in the socket, wherever in it they come. */
static void a_stream_brings_no_descriptors(void **state)
{
    struct pair *p = *state;
    int pipe_fds[2], before, r;
    struct pollfd sent;
    struct message msg;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    channel_refuse_fds(p->b);
    send_reset(p->a, 1);
    assert_int_equal(fd_send(channel_fd(p->a), "x", 1, &pipe_fds[1], 1, 0), 0);
    close(pipe_fds[1]);
    before = count_fds();
    r = channel_receive(p->b, false, &msg); /* a look at it may look further */
    if (r == 0)
        r = channel_receive(p->b, false, &msg);
    assert_int_equal(r, -EBADMSG);
    assert_int_equal(count_fds(), before);
    sent = (struct pollfd){ .fd = pipe_fds[0] };
    assert_int_equal(poll(&sent, 1, 0), 0);
    close(pipe_fds[0]);
}

/* Nobody is waited for: a message that finds no room at all may be sent later, of one that was cut the rest is lost. */
static void a_full_stream_is_told_apart(void **state)
{
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    struct pair *p = *state;
    int r = 0;

    ENVELOPE(e, FAILED, failed, &failed);
    failed.what = calloc(1, 60001);
    memset(failed.what, 'x', 60000);
    while (r == 0)
        r = channel_send(p->a, &e, NULL, 0, false);
    assert_true(r == -EAGAIN || r == -EIO);
    assert_false(channel_has_room(p->a));
    assert_int_equal(channel_send(p->a, &e, NULL, 0, false), -EAGAIN);
    channel_freep(&p->b);
    assert_int_equal(channel_send(p->a, &e, NULL, 0, false), -EPIPE);
    free(failed.what);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(message_and_fds_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(largest_affinity_fits_a_child, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(oversized_datagram_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(amplification_hits_the_arena, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_fds_leak_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_and_full_are_told_apart, setup, teardown),
        cmocka_unit_test(what_refuses_descriptors_is_closed_without_any),
        cmocka_unit_test_setup_teardown(a_stream_is_cut_anywhere, stream_setup, teardown),
        cmocka_unit_test(a_streams_garbage_is_refused),
        cmocka_unit_test_setup_teardown(a_stream_brings_no_descriptors, stream_setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_stream_is_told_apart, stream_setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
