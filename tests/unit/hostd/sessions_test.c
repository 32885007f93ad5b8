/* SPDX-License-Identifier: Apache-2.0 */
/* sessions_test.c - a real hostd in its sandbox: who may be heard, how fast, what of it keeps others waiting. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name
#define MS UINT64_C(1000000)
#define T(text) ((char *)(uintptr_t)(text))

static struct stage s;
static uid_t one; /* who speaks for t0 */

static int begin(void **state)
{
    (void)state;
    stage_begin(&s, 200);
    one = geteuid() == 0 ? 1000000 : geteuid();
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_end(&s);
    return 0;
}

static int is_reply(const Bulkhead__HostEnvelope *e)
{
    assert_non_null(e);
    assert_int_equal(e->body_case, B(REPLY));
    return e->reply->error;
}

static void who_speaks_is_told_by_the_kernel(void **state)
{
    struct channel *client = stage_connect(&s, geteuid()), *other;
    const Bulkhead__HostEnvelope *e = stage_ask(&s, client, B(GET_HOST), NULL);

    (void)state;
    assert_int_equal(e->body_case, B(HOST_INFO));
    assert_string_equal(e->host_info->tenant, geteuid() == 0 ? "t4" : "t0");
    assert_int_equal(e->id, s.next);
    if (geteuid() == 0) {
        other = stage_connect(&s, 1000002);
        assert_string_equal(stage_ask(&s, other, B(GET_HOST), NULL)->host_info->tenant, "t2");
        channel_free(other);
        other = stage_connect(&s, 4711);
        assert_int_equal(is_reply(stage_ask(&s, other, B(GET_HOST), NULL)), EACCES);
        channel_free(other);
    }
    channel_free(client);
}

static struct channel *run_vm(struct channel *client, const char *name)
{
    stage_create(&s, client, name, true);
    return stage_run(&s, client, name);
}

static uint64_t time_of_request(struct channel *client)
{
    uint64_t before = now_ns();

    assert_int_equal(stage_ask(&s, client, B(GET_HOST), NULL)->body_case, B(HOST_INFO));
    return now_ns() - before;
}

/* A VM runs, its command socket is handed over with what the session may not do, and it ends. */
static void a_vms_life(void **state)
{
    struct channel *client = stage_connect(&s, one), *broker = run_vm(client, "web"), *session;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__OpenVm open = BULKHEAD__OPEN_VM__INIT;
    Bulkhead__ClientEnvelope said = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    Bulkhead__HaltVm halt = BULKHEAD__HALT_VM__INIT;
    ProtobufCMessage *msg = NULL;
    int pair[2], *fds, mine;
    char bytes[4];
    size_t n_fds;

    (void)state;
    open.vm = T("web");
    e.body_case = B(OPEN_VM);
    e.open_vm = &open;
    stage_send(&s, client, &e);
    stage_asked(&s, STARTER_CONNECT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    stage_done(&s, 0, pair, 1);
    close(pair[0]);
    assert_int_equal(is_reply(stage_hear(client, &fds, &n_fds)), 0);
    assert_int_equal(n_fds, 1);
    mine = fd_take(&fds[0]);
    assert_int_equal(channel_new(&session, pair[1], CHANNEL_ARENA_CLIENT), 0);
    assert_int_equal(channel_receive_raw(session, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     0);
    assert_int_equal(((const Bulkhead__ClientEnvelope *)msg)->body_case, C(LIMIT_SESSION));
    assert_true(((const Bulkhead__ClientEnvelope *)msg)->limit_session->no_user_net);
    assert_int_equal(((const Bulkhead__ClientEnvelope *)msg)->limit_session->max_devices,
                     STAGE_DEVICES);
    time_of_request(client); /* by now the service has let go of it */
    assert_int_equal(fd_send(mine, "x", 1, NULL, 0, 0), 0);
    assert_int_equal(read(pair[1], bytes, sizeof bytes), 1);
    close(mine); /* the client alone has that end */
    assert_int_equal(channel_receive_raw(session, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     CHANNEL_CLOSED);
    channel_free(session);

    halt.vm = T("web");
    e.body_case = B(HALT_VM);
    e.halt_vm = &halt;
    stage_send(&s, client, &e);
    assert_int_equal(channel_receive_raw(broker, true, &bulkhead__client_envelope__descriptor, &msg,
                                         &fds, &n_fds),
                     0);
    assert_int_equal(((const Bulkhead__ClientEnvelope *)msg)->body_case, C(STOP_VM));
    ended.by_user = true;
    said.body_case = C(VM_ENDED);
    said.vm_ended = &ended;
    assert_int_equal(channel_send_raw(broker, &said.base, NULL, 0, true), 0);
    channel_free(broker);
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    stage_asked(&s, STARTER_CONNECT);
    stage_done(&s, ENOENT, NULL, 0);
    assert_int_equal(is_reply(stage_hear(client, NULL, NULL)), 0);
    channel_free(client);
}

/* One who asks as fast as he can waits by himself: another's requests, one after the other, are answered while his still
 * wait. */
static void a_flood_slows_nobody_else(void **state)
{
    enum { FLOODERS = 16, DEEP = 24, TRIES = 11 };
    struct channel *flooders[FLOODERS], *calm = stage_connect(&s, geteuid());
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__GetHost get = BULKHEAD__GET_HOST__INIT;
    unsigned waiting = 0;

    (void)state;
    e.body_case = B(GET_HOST);
    e.get_host = &get;
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] = stage_connect(&s, one);
    for (unsigned n = 0; n < DEEP; n++)
        for (unsigned i = 0; i < FLOODERS; i++)
            stage_send(&s, flooders[i], &e);
    for (unsigned i = 0; i < TRIES && geteuid() == 0; i++) /* else calm is of the same tenant */
        (void)time_of_request(calm);
    for (unsigned i = 0; i < FLOODERS; i++) {
        unsigned answers = 0;
        struct pollfd p = { .fd = channel_fd(flooders[i]), .events = POLLIN };

        while (poll(&p, 1, 0) == 1 && stage_hear(flooders[i], NULL, NULL))
            answers++;
        waiting += DEEP - answers;
    }
    /* 384 came at once, 50 are a burst of his 200 a second. */
    assert_true(waiting > 0);
    for (unsigned i = 0; i < FLOODERS; i++)
        channel_free(flooders[i]);
    channel_free(calm);
}

/* They are all answered in the end, as his quota has it. */
static void who_is_over_his_rate_waits(void **state)
{
    enum { REQUESTS = 100 };
    struct channel *client = stage_connect(&s, one);
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__GetHost get = BULKHEAD__GET_HOST__INIT;
    uint64_t before = now_ns();

    (void)state;
    e.body_case = B(GET_HOST);
    e.get_host = &get;
    for (unsigned i = 0; i < REQUESTS; i++)
        stage_send(&s, client, &e);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(stage_hear(client, NULL, NULL)->body_case, B(HOST_INFO));
    assert_true(now_ns() - before > 200 * MS); /* 50 at once, 50 more at 200 a second */
    channel_free(client);
}

static void hundred_clients_at_once(void **state)
{
    enum { CLIENTS = 100 };
    struct channel *clients[CLIENTS];

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = stage_connect(&s, geteuid());
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(stage_ask(&s, clients[i], B(GET_HOST), NULL)->body_case, B(HOST_INFO));
    for (unsigned i = 0; i < CLIENTS; i++)
        channel_free(clients[i]);
}

static bool is_let_in(void)
{
    struct channel *client = stage_connect(&s, geteuid());
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__GetHost get = BULKHEAD__GET_HOST__INIT;
    const Bulkhead__HostEnvelope *answer;
    bool in;

    e.body_case = B(GET_HOST);
    e.get_host = &get;
    if (channel_send_raw(client, &e.base, NULL, 0, true) < 0)
        in = false; /* it is closed already, and says why */
    answer = stage_hear(client, NULL, NULL);
    in = answer && answer->body_case == B(HOST_INFO);
    channel_free(client);
    return in;
}

static void one_too_many_is_told_so(void **state)
{
    enum { CONNECTIONS = 128 }; /* TENANTS_CONNECTIONS */
    struct channel *clients[CONNECTIONS], *last;

    (void)state;
    for (unsigned round = 0; round < 3; round++) { /* who has left counts no more */
        for (unsigned i = 0; i < CONNECTIONS; i++)
            clients[i] = stage_connect(&s, geteuid());
        assert_int_equal(stage_ask(&s, clients[CONNECTIONS - 1], B(GET_HOST), NULL)->body_case,
                         B(HOST_INFO));
        last = stage_connect(&s, geteuid());
        assert_int_equal(is_reply(stage_hear(last, NULL, NULL)), EUSERS);
        channel_free(last);
        for (unsigned i = 0; i < CONNECTIONS; i++)
            channel_free(clients[i]);
        while (!is_let_in()) /* its places are free in a moment */
            ;
    }
}

static void drain(struct channel *follower, uint64_t *ret_seen, uint64_t *ret_lost)
{
    struct pollfd p = { .fd = channel_fd(follower), .events = POLLIN };

    *ret_seen = *ret_lost = 0;
    while (poll(&p, 1, 500) == 1) {
        const Bulkhead__HostEnvelope *e = stage_hear(follower, NULL, NULL);

        assert_int_equal(e->body_case, B(HOST_EVENT));
        *ret_lost += e->host_event->lost;
        ++*ret_seen;
    }
}

static void a_slow_follower_is_told_what_he_missed(void **state)
{
    enum { EVENTS = 3000 };
    struct channel *client = stage_connect(&s, one), *slow = stage_connect(&s, one);
    struct channel *broker = run_vm(client, "web");
    Bulkhead__ClientEnvelope said = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    uint64_t seen, lost, more, more_lost;

    (void)state;
    assert_int_equal(is_reply(stage_ask(&s, slow, B(FOLLOW_HOST), NULL)), 0);
    event.source = T("device");
    event.event = T("died");
    said.body_case = C(EVENT);
    said.event = &event;
    for (unsigned i = 0; i < EVENTS; i++)
        assert_int_equal(channel_send_raw(broker, &said.base, NULL, 0, true), 0);
    /* nobody else waits for him */
    assert_true(time_of_request(client) < 10000 * MS);
    drain(slow, &seen, &lost);
    assert_true(seen < EVENTS);
    assert_int_equal(channel_send_raw(broker, &said.base, NULL, 0, true), 0);
    drain(slow, &more, &more_lost);
    assert_int_equal(seen + lost + more + more_lost, EVENTS + 1);
    assert_true(lost + more_lost > 0);
    channel_free(broker);
    stage_asked(&s, STARTER_CONNECT); /* for its successor */
    channel_free(slow);
    channel_free(client);
}

static void creates(uid_t uid, const char *name)
{
    struct channel *client = stage_connect(&s, uid);

    stage_create(&s, client, name, false);
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    assert_int_equal(is_reply(stage_hear(client, NULL, NULL)), 0);
    channel_free(client);
}

/* The numbers of what a follower hears have no gap: his own for a tenant, all for who runs the service. */
static unsigned count_in_turn(struct channel *follower, const char *last)
{
    const Bulkhead__HostEvent *event;
    uint64_t first = 0;
    unsigned n = 0;

    do {
        const Bulkhead__HostEnvelope *e = stage_hear(follower, NULL, NULL);

        assert_non_null(e);
        assert_int_equal(e->body_case, B(HOST_EVENT));
        event = e->host_event;
        first = n == 0 ? event->sequence : first;
        assert_int_equal(event->sequence, first + n);
        n++;
    } while (strcmp(event->vm, last) != 0);
    return n;
}

static void numbers_tell_nothing_of_others(void **state)
{
    struct channel *follower = stage_connect(&s, one), *host = stage_connect(&s, geteuid());
    const uid_t other = geteuid() == 0 ? 1000001 : one;
    unsigned own;

    (void)state;
    assert_int_equal(is_reply(stage_ask(&s, follower, B(FOLLOW_HOST), NULL)), 0);
    assert_int_equal(is_reply(stage_ask(&s, host, B(FOLLOW_HOST), NULL)), 0);
    creates(one, "a");
    creates(other, "b");
    creates(other, "c");
    creates(one, "d");
    own = count_in_turn(follower, "d");
    assert_int_equal(count_in_turn(host, "d"), other == one ? own : 2 * own);
    channel_free(follower);
    channel_free(host);
}

/* One that doesn't read his answers isn't read either, and the rest go on. */
static void who_takes_no_answers_is_not_read(void **state)
{
    struct channel *mute = stage_connect(&s, geteuid()), *other = stage_connect(&s, geteuid());
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__ListTenants list = BULKHEAD__LIST_TENANTS__INIT;
    unsigned sent = 0, answers = 0;

    (void)state;
    e.body_case = B(LIST_TENANTS);
    e.list_tenants = &list;
    while (sent < 5000 && channel_send_raw(mute, &e.base, NULL, 0, false) == 0)
        sent++;
    assert_true(time_of_request(other) < 10000 * MS);
    for (; answers < sent; answers++) /* none is lost */
        assert_int_equal(stage_hear(mute, NULL, NULL)->body_case, B(TENANT_LIST));
    channel_free(mute);
    channel_free(other);
}

/* What a client sends along is not taken; who does is let go of, and is nobody's trouble. */
static void descriptors_are_not_taken(void **state)
{
    struct channel *client, *other = stage_connect(&s, geteuid());
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__GetHost get = BULKHEAD__GET_HOST__INIT;

    (void)state;
    e.body_case = B(GET_HOST);
    e.get_host = &get;
    for (unsigned i = 0; i < 300;
         i++) { /* more than he may have connections: they are free again */
        const Bulkhead__HostEnvelope *answer;
        int pipe_fds[2];
        char byte;

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        client = stage_connect(&s, geteuid());
        assert_int_equal(channel_send_raw(client, &e.base, &pipe_fds[1], 1, true), 0);
        close(pipe_fds[1]);
        answer = stage_hear(client, NULL, NULL);
        assert_true(!answer || answer->reply->error == EUSERS); /* for a moment */
        assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* nobody has the other end any more */
        close(pipe_fds[0]);
        channel_free(client);
    }
    assert_int_equal(stage_ask(&s, other, B(GET_HOST), NULL)->body_case, B(HOST_INFO));
    channel_free(other);
}

static void garbage_ends_a_session_alone(void **state)
{
    struct channel *client, *other = stage_connect(&s, geteuid());
    static uint8_t bytes[70000];

    (void)state;
    for (size_t len = 1; len < 66000; len = len * 3 + 1) {
        memset(bytes, 0xff, len);
        client = stage_connect(&s, geteuid());
        assert_int_equal(fd_send(channel_fd(client), bytes, len, NULL, 0, 0), 0);
        assert_null(stage_hear(client, NULL, NULL));
        channel_free(client);
    }
    assert_int_equal(stage_ask(&s, other, B(GET_HOST), NULL)->body_case, B(HOST_INFO));
    channel_free(other);
}

/* hostd's, in a page that is shared with it. */
struct accepts {
    unsigned n;
    bool none_left; /* of its descriptors */
};
static struct accepts *accepts;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    if (accepts) {
        __atomic_fetch_add(&accepts->n, 1, __ATOMIC_RELAXED);
        if (__atomic_load_n(&accepts->none_left, __ATOMIC_RELAXED)) {
            errno = EMFILE;
            return -1;
        }
    }
    return __real_accept4(fd, address, len, flags);
}

static int begin_counted(void **state)
{
    accepts =
        mmap(NULL, sizeof *accepts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(accepts != MAP_FAILED);
    return begin(state);
}

/* The connection stays, and the kernel tells of it for as long: it is looked at now and then, not all the time. When
 * there are descriptors again the client gets in. */
static void who_comes_when_descriptors_are_gone(void **state)
{
    enum { TRIES = 3, ACCEPT_AGAIN_MS = 100, HANG_MS = 20000 };
    struct channel *client;
    uint64_t began = now_ns();
    unsigned n = 0;

    (void)state;
    __atomic_store_n(&accepts->none_left, true, __ATOMIC_RELAXED);
    client = stage_connect(&s, geteuid());
    for (; n < TRIES && now_ns() - began < HANG_MS * MS; (void)poll(NULL, 0, 1))
        n = __atomic_load_n(&accepts->n, __ATOMIC_RELAXED);
    assert_true(n >= TRIES);
    assert_true(now_ns() - began >= (n - 1) * ACCEPT_AGAIN_MS * MS / 2); /* it doesn't spin */
    __atomic_store_n(&accepts->none_left, false, __ATOMIC_RELAXED);
    assert_int_equal(stage_ask(&s, client, B(GET_HOST), NULL)->body_case, B(HOST_INFO));
    channel_free(client);
}

/* The starter is told to end, and so is hostd: it says so to who manages it. */
static void the_end_is_told(void **state)
{
    struct channel *client = stage_connect(&s, geteuid());
    char text[64];
    ssize_t n;

    (void)state;
    shutdown(s.starter, SHUT_WR);
    assert_null(stage_hear(client, NULL, NULL));
    n = recv(s.notify, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "STOPPING=1");
    channel_free(client);
}

static int begin_watched(void **state)
{
    setenv("WATCHDOG_USEC", "200000", 1);
    begin(state);
    unsetenv("WATCHDOG_USEC");
    return 0;
}

static unsigned count_signs_of_life(int ms)
{
    struct pollfd p = { .fd = s.notify, .events = POLLIN };
    char text[64] = "";
    unsigned n = 0;

    while (poll(&p, 1, ms) == 1 && recv(s.notify, text, sizeof text - 1, 0) > 0)
        n += strncmp(text, "WATCHDOG=1", 10) == 0;
    return n;
}

/* A service manager that waits for signs of life gets none while the starter is in a call that doesn't return. */
static void a_starter_that_hangs_is_no_life(void **state)
{
    (void)state;
    stage_asked(&s, STARTER_PING);
    (void)count_signs_of_life(500); /* there was one */
    assert_int_equal(count_signs_of_life(500), 0);
    stage_done(&s, 0, NULL, 0);
    stage_asked(&s, STARTER_PING);
    stage_done(&s, 0, NULL, 0);
    stage_asked(&s, STARTER_PING);
    assert_true(count_signs_of_life(300) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_speaks_is_told_by_the_kernel, begin, end),
        cmocka_unit_test_setup_teardown(a_vms_life, begin, end),
        cmocka_unit_test_setup_teardown(a_flood_slows_nobody_else, begin, end),
        cmocka_unit_test_setup_teardown(who_is_over_his_rate_waits, begin, end),
        cmocka_unit_test_setup_teardown(hundred_clients_at_once, begin, end),
        cmocka_unit_test_setup_teardown(one_too_many_is_told_so, begin, end),
        cmocka_unit_test_setup_teardown(a_slow_follower_is_told_what_he_missed, begin, end),
        cmocka_unit_test_setup_teardown(numbers_tell_nothing_of_others, begin, end),
        cmocka_unit_test_setup_teardown(who_takes_no_answers_is_not_read, begin, end),
        cmocka_unit_test_setup_teardown(descriptors_are_not_taken, begin, end),
        cmocka_unit_test_setup_teardown(garbage_ends_a_session_alone, begin, end),
        cmocka_unit_test_setup_teardown(who_comes_when_descriptors_are_gone, begin_counted, end),
        cmocka_unit_test_setup_teardown(the_end_is_told, begin, end),
        cmocka_unit_test_setup_teardown(a_starter_that_hangs_is_no_life, begin_watched, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
