/* SPDX-License-Identifier: Apache-2.0 */
/* in_flight_test.c - a uid may have so many descriptors in flight, of all its VMs: where there are more the spawner's
 * reports wait, whole and in their order, and a successor that can't be told what is kept makes way for another. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/loop.h"
#include "spawner/cgroups.h"
#include "spawner/handover.h"
#include "spawner/reports.h"
#include "spawner/spawner.h"
#include "spawner/uids.h"

enum { PATIENCE_S = 60, FAILURES = 3, AGAIN_MS = 100 };

int __real_fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
                   int flags);
int __wrap_fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
                   int flags);

/* The spawner's as well. */
static struct {
    unsigned sent, fail_from, fail; /* after so many, so many fail */
    uint64_t first_ns, last_ns;     /* of those that were tried from there on */
} * kernel;

/* What the broker sends waits, and is not looked at here. */
int __wrap_fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
                   int flags)
{
    if (!(flags & MSG_DONTWAIT))
        return __real_fd_send(socket_fd, bytes, len, fds, n_fds, flags);
    kernel->last_ns = now_ns();
    if (kernel->first_ns == 0)
        kernel->first_ns = kernel->last_ns;
    if (kernel->sent >= kernel->fail_from && kernel->fail > 0) {
        kernel->fail--;
        return -ETOOMANYREFS;
    }
    kernel->sent++;
    return __real_fd_send(socket_fd, bytes, len, fds, n_fds, flags);
}

static void fails(unsigned from, unsigned n)
{
    kernel->sent = 0;
    kernel->fail_from = from;
    kernel->fail = n;
    kernel->first_ns = 0;
}

static int setup(void **state)
{
    (void)state;
    kernel = mmap(NULL, sizeof *kernel, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return kernel == MAP_FAILED ? -1 : 0;
}

static void link_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

/* ---- reports ---- */

static struct reports reports;

static void add(uint32_t id, int fd)
{
    const struct spawner_report report = { .kind = SPAWNER_STARTED, .id = id };
    const int fds[SPAWNER_REPORT_FDS] = { fd, -1 };

    reports_add(&reports, &report, fds);
}

static void comes(struct spawner *broker, uint32_t id, bool with_fd)
{
    struct spawner_report report;
    int fds[SPAWNER_REPORT_FDS];

    assert_int_equal(spawner_receive(broker, &report, fds), 0);
    assert_int_equal(report.id, id);
    assert_int_equal(fds[0] >= 0, with_fd);
    for (unsigned i = 0; i < SPAWNER_REPORT_FDS; i++)
        fd_closep(&fds[i]);
}

static void nothing_comes(struct spawner *broker)
{
    struct spawner_report report;
    int fds[SPAWNER_REPORT_FDS];

    assert_int_equal(spawner_receive(broker, &report, fds), 1);
}

static void a_report_waits(void **state)
{
    struct spawner broker;
    int pair[2];

    (void)state;
    link_pair(pair);
    broker = (struct spawner){ .fd = pair[0] };
    for (uint32_t id = 1; id <= 3; id++)
        add(id, id == 3 ? -1 : pair[1]);
    fails(1, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(reports_send(&reports, pair[1]), REPORTS_TOO_MANY);
        assert_int_equal(reports.n, 2); /* nor does the third pass it */
    }
    comes(&broker, 1, true);
    nothing_comes(&broker);
    assert_int_equal(reports_send(&reports, pair[1]), 0);
    comes(&broker, 2, true);
    comes(&broker, 3, false);
    nothing_comes(&broker);
    assert_int_equal(reports.n, 0);
    close(pair[0]);
    close(pair[1]);
}

/* ---- the spawner ---- */

/* It tries again now and then: the socket has room all the time, and would wake it up at once. */
static void the_spawner_tries_again(void **state)
{
    static struct groups none = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    static struct uids no_uids = { .file_fd = -1, .ns_fd = -1 };
    const struct spawner_terms terms = { .groups = &none, .uids = &no_uids, .broker_pidfd = -1 };
    const struct spawner_request start = { .kind = SPAWNER_START, .id = 5 }; /* before the seal */
    struct spawner broker;
    struct pollfd said = { .events = POLLIN };

    (void)state;
    fails(0, FAILURES);
    assert_int_equal(spawner_start(&broker, -1, &terms), 0);
    assert_int_equal(spawner_send(&broker, &start, NULL, 0), 0);
    said.fd = broker.fd;
    assert_int_equal(poll(&said, 1, PATIENCE_S * 1000), 1);
    comes(&broker, 5, false);
    assert_int_equal(kernel->fail, 0);
    assert_int_equal(kernel->sent, 1);
    assert_true(kernel->last_ns - kernel->first_ns >=
                FAILURES * (AGAIN_MS - 1) * UINT64_C(1000000));
    spawner_stop(&broker);
}

/* ---- a successor ---- */

static struct state spawner_state;

static void is_told(struct spawner *broker, uint32_t kind, uint32_t id, unsigned n)
{
    struct spawner_report report;
    int fds[SPAWNER_KEPT_FDS];
    unsigned n_fds;

    assert_int_equal(spawner_receive_kept(broker, &report, fds, &n_fds), 0);
    assert_int_equal(report.kind, kind);
    assert_int_equal(report.id, id);
    assert_int_equal(n_fds, n);
    for (unsigned i = 0; i < SPAWNER_KEPT_FDS; i++)
        fd_closep(&fds[i]);
}

/* What is in flight is in what it is told: it won't be less by waiting. The next one is told all, from the start. */
static void a_successor_makes_way(void **state)
{
    static const uint32_t places[] = { KEEP_SEALED, KEEP_RECORD, KEEP_DEVICES };
    struct state *s = &spawner_state;
    struct spawner broker;
    int pair[2];

    (void)state;
    store_init(&s->store);
    s->last_id = 7;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        s->store.fds[places[i]] = dup(0);
    link_pair(pair);
    s->fd = pair[1];
    fails(1, 1);
    handover_begin(s);
    assert_int_equal(handover_send(s), -ETOOMANYREFS);
    assert_true(s->handover.active);
    close(pair[0]);
    close(pair[1]);

    link_pair(pair);
    s->fd = pair[1];
    broker = (struct spawner){ .fd = pair[0] };
    handover_begin(s);
    assert_int_equal(handover_send(s), 0);
    assert_false(s->handover.active);
    is_told(&broker, SPAWNER_KEPT, KEEP_SEALED, 2);
    is_told(&broker, SPAWNER_KEPT, KEEP_DEVICES, 1);
    is_told(&broker, SPAWNER_ALL, 7, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        fd_closep(&s->store.fds[places[i]]);
    close(pair[0]);
    close(pair[1]);
}

/* What waits for ever is ended by the alarm. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_waits),
        cmocka_unit_test(the_spawner_tries_again),
        cmocka_unit_test(a_successor_makes_way),
    };

    alarm(PATIENCE_S);
    return cmocka_run_group_tests(tests, setup, NULL);
}
