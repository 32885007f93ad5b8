/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_end_test.c - how connections of the vsock worker end: what either side sent before arrives,
 * and nothing is kept that nobody will ever ask for. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "harness_away.h"
#include "vsock_driver.h"
#include <cmocka.h>

/* A program that says all it has to say and leaves at once is heard all the same. */
static void a_program_that_leaves_at_once(void **state)
{
    struct dev *d = new_dev(true);
    pkt p;

    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        int fd = host_connect(d);

        host_write(fd, "CONNECT 1111\ntest\n", 18);
        if (i % 2 == 0)
            close(fd);
        p = guest_expect(d, VIRTIO_VSOCK_OP_REQUEST);
        guest_send(d, 1111, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
        if (i % 2 != 0)
            close(fd); /* perhaps with "OK" unread */
        p = guest_take(d);
        if (p.op == VIRTIO_VSOCK_OP_SHUTDOWN) { /* it reads nothing: may come before what it sent */
            assert_int_equal(p.flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
            p = guest_take(d);
        }
        assert_int_equal(p.op, VIRTIO_VSOCK_OP_RW);
        assert_int_equal(p.len, 5);
        assert_memory_equal(d->payload, "test\n", 5);
        p = guest_expect(d, VIRTIO_VSOCK_OP_SHUTDOWN);
        assert_int_equal(p.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
        guest_send(d, 1111, p.src_port, VIRTIO_VSOCK_OP_RST);
    }
    free_dev(d);
}

/* It leaves with "OK" unread, which its socket tells as a reset of the connection; what it sent had
 * to wait for the guest's credit. */
static void a_program_that_leaves_without_reading(void **state)
{
    struct dev *d = new_dev(true);
    struct pollfd answered = { .events = POLLIN };
    pkt p, answer;

    (void)state;
    answered.fd = host_connect(d);
    host_write(answered.fd, "CONNECT 1111\ntest\n", 18);
    p = guest_expect(d, VIRTIO_VSOCK_OP_REQUEST);
    answer = packet(1111, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
    answer.buf_alloc = 0;
    guest_send_raw(d, &answer, NULL, 0);
    guest_expect(d, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    assert_int_equal(poll(&answered, 1, WH_PATIENCE_MS), 1);
    close(answered.fd);
    guest_send(d, 1111, p.src_port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    p = guest_expect(d, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(p.len, 5);
    p = guest_expect(d, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(p.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
    free_dev(d);
}

/* From the guest, as much as is taken while the host's program reads nothing. */
static uint32_t fill(struct dev *d, uint32_t guest_port, uint32_t host_port)
{
    static uint8_t data[4096];
    uint32_t sent = 0, forwarded = 0, before;
    unsigned still = 0; /* one answer may be to an earlier question */
    pkt p = packet(guest_port, host_port, VIRTIO_VSOCK_OP_CREDIT_REQUEST);

    do {
        before = forwarded;
        while (sent - forwarded <= 65536 - sizeof(data)) {
            memset(data, (int)(sent / sizeof(data)), sizeof(data));
            guest_data(d, guest_port, host_port, data, sizeof(data));
            sent += (uint32_t)sizeof(data);
        }
        guest_send_raw(d, &p, NULL, 0);
        forwarded = guest_expect(d, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt;
        while (guest_try_take(d, &(pkt){ 0 }))
            ;
        still = forwarded == before ? still + 1 : 0;
    } while (still < 4);
    return sent;
}

static void read_what_was_filled_in(int fd, uint32_t sent)
{
    uint8_t got[4096];

    for (uint32_t at = 0; at < sent; at += (uint32_t)sizeof(got)) {
        assert_int_equal(host_read(fd, got, sizeof(got)), sizeof(got));
        assert_int_equal(got[0], (uint8_t)(at / sizeof(got)));
    }
    assert_int_equal(host_read(fd, got, 1), 0);
    close(fd);
}

/* A slow program gets all that the guest sent, however the guest left, and when. */
static void a_guest_that_leaves_is_heard(void **state)
{
    enum { BY_RESET, BY_SHUTDOWN, BY_DRIVER_RESET, BY_STOP, WAYS };
    struct dev *d = new_dev(true);

    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        int fd = open_from_guest(d, 1024, 80);
        uint32_t sent = fill(d, 1024, 80);
        pkt p = packet(1024, 80, VIRTIO_VSOCK_OP_SHUTDOWN);

        p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
        if (way == BY_SHUTDOWN) /* a guest of Linux doesn't wait for longer than 8 s */
            guest_send_raw(d, &p, NULL, 0);
        if (way == BY_RESET || way == BY_SHUTDOWN)
            guest_send(d, 1024, 80, VIRTIO_VSOCK_OP_RST);
        if (way == BY_STOP) {
            Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
            ENVELOPE(e, STOP, stop, &stop);

            wh_send(d->wh, &e);
        }
        if (way == BY_DRIVER_RESET)
            wh_reset(d->wh);
        read_what_was_filled_in(fd, sent);
        if (way == BY_DRIVER_RESET)
            activate_dev(d, true);
    }
    assert_int_equal(WEXITSTATUS(wh_wait_exit(d->wh)), 0);
    free_dev(d);
}

/* The host was busy, so that all of it still lies in the ring when the guest's end comes, or another
 * build of this device. */
static void what_lies_in_the_ring_is_heard(void **state)
{
    enum { PACKETS = 100, BY_STOP = 0, BY_DRIVER_RESET, BY_UPGRADE, BY_CORES_END, WAYS };

    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct dev *d = new_dev(true);
        int fd = open_from_guest(d, 1024, 80);
        uint64_t at = d->wh->ram_bytes / 2;
        pkt p = packet(1024, 80, VIRTIO_VSOCK_OP_RW);
        Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
        Bulkhead__Quiesce quiesce = BULKHEAD__QUIESCE__INIT;
        ENVELOPE(leave, STOP, stop, &stop);
        ENVELOPE(pause, QUIESCE, quiesce, &quiesce);
        uint8_t got[PACKETS];

        p.len = 1;
        kill(d->wh->pid, SIGSTOP);
        for (unsigned i = 0; i < PACKETS; i++, at += 64) {
            memcpy(wh_mem(d->wh, at, HDR), &p, HDR);
            *(uint8_t *)wh_mem(d->wh, at + HDR, 1) = (uint8_t)i;
            assert_true(wh_add(d->wh, TX, &(struct wh_buf){ at, HDR + 1, false }, 1, false) >= 0);
        }
        wh_kick_always(d->wh, TX);
        if (way == BY_DRIVER_RESET)
            wh_send_reset(d->wh);
        else if (way == BY_CORES_END) /* without a broker */
            fd_closep(&d->wh->life_write_fd);
        else
            wh_send(d->wh, way == BY_STOP ? &leave : &pause);
        kill(d->wh->pid, SIGCONT);
        if (way == BY_UPGRADE) {
            wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_QUIESCED);
            wh_send(d->wh, &leave);
        }
        assert_int_equal(host_read(fd, got, sizeof(got)), sizeof(got));
        for (unsigned i = 0; i < PACKETS; i++)
            assert_int_equal(got[i], i);
        close(fd);
        free_dev(d);
    }
}

/* A guest that waits for our end of the connection has it after 10 s, whatever the program still has
 * to read; and that it has all the same. */
static void a_slow_program_and_a_patient_guest(void **state)
{
    struct dev *d = new_dev(true);
    int fd = open_from_guest(d, 1024, 80);
    uint32_t sent = fill(d, 1024, 80);
    uint64_t start = wh_now_ns(), took_ms;
    pkt p = packet(1024, 80, VIRTIO_VSOCK_OP_SHUTDOWN);

    (void)state;
    p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
    guest_send_raw(d, &p, NULL, 0);
    while ((p = guest_take(d)).op != VIRTIO_VSOCK_OP_RST)
        assert_int_equal(p.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    took_ms = (wh_now_ns() - start) / 1000000;
    if (took_ms < 10000)
        fail_msg("after %llu ms", (unsigned long long)took_ms);
    close(open_from_guest(d, 1024, 80)); /* its ports are free */
    read_what_was_filled_in(fd, sent);
    free_dev(d);
}

/* The program leaves without reading it: there is nothing left to wait for. */
static void nobody_reads_the_rest(void **state)
{
    struct dev *d = new_dev(true);
    int fd = open_from_guest(d, 1024, 80);
    uint64_t start = wh_now_ns();
    pkt p = packet(1024, 80, VIRTIO_VSOCK_OP_SHUTDOWN);

    (void)state;
    (void)fill(d, 1024, 80);
    p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
    guest_send_raw(d, &p, NULL, 0);
    close(fd);
    do
        p = guest_take(d);
    while (p.op != VIRTIO_VSOCK_OP_RST);
    assert_true(wh_now_ns() - start < 5000000000ull); /* not by the deadline of 10 s */
    free_dev(d);
}

static uint64_t cpu_ns(pid_t pid)
{
    struct timespec t = { 0 };
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* The host has no descriptor for a program that connects: that is waited for, not tried all the
 * time, and then the program is served. */
static void a_host_without_descriptors(void **state)
{
    struct dev *d = new_dev(true);
    struct rlimit before, few;
    uint64_t used;
    uint32_t host;
    int fd;

    (void)state;
    close(open_from_host(d, 5, &host));
    assert_int_equal(prlimit(d->wh->pid, RLIMIT_NOFILE, NULL, &before), 0);
    few = before;
    few.rlim_cur = 3; /* there are more already */
    assert_int_equal(prlimit(d->wh->pid, RLIMIT_NOFILE, &few, NULL), 0);
    fd = host_connect(d);
    host_write(fd, "CONNECT 6\n", 10);
    poll(NULL, 0, 50);
    used = cpu_ns(d->wh->pid);
    poll(NULL, 0, 1000);
    assert_true(cpu_ns(d->wh->pid) - used < 200000000);
    assert_int_equal(prlimit(d->wh->pid, RLIMIT_NOFILE, &before, NULL), 0);
    while (guest_take(d).op != VIRTIO_VSOCK_OP_REQUEST)
        ;
    close(fd);
    free_dev(d);
}

/* What is kept for programs that don't read stands in nobody's way. */
static void those_who_linger_make_room(void **state)
{
    enum { SLOTS = 1280, DATA = 16384 };
    static int fds[SLOTS];
    static uint8_t data[DATA];
    struct rlimit files = { 8192, 8192 };
    struct dev *d = new_dev(true);
    uint32_t host;

    (void)state;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (uint32_t i = 0; i < SLOTS; i++) {
        fds[i] = open_from_guest_small(d, 1024, 80);
        for (unsigned k = 0; k < 3; k++)
            guest_data(d, 1024, 80, data, sizeof(data));
        guest_send(d, 1024, 80, VIRTIO_VSOCK_OP_RST);
    }
    assert_int_equal(d->wh->stats->dropped, 0);
    close(open_from_host(d, 5, &host));
    assert_true(d->wh->stats->dropped > 0); /* of the first one */
    assert_true(host_read(fds[0], data, sizeof(data)) > 0);
    assert_int_equal(host_read(fds[SLOTS - 1], data, sizeof(data)), sizeof(data));
    for (unsigned i = 0; i < SLOTS; i++)
        close(fds[i]);
    free_dev(d);
}

/* Somebody asks again and again for a guest that has no driver yet: nothing of it is kept. */
static void a_guest_without_a_driver(void **state)
{
    struct dev *d = new_dev_idle();
    uint32_t host;
    char got[4];
    int fd = host_connect(d);

    (void)state;
    host_write(fd, "CONNECT 5\n", 10);
    assert_int_equal(host_read(fd, got, 1), 0); /* in time */
    close(fd);
    activate_dev(d, true);
    close(open_from_host(d, 6, &host)); /* the first that the guest hears of */
    free_dev(d);
}

static uint32_t question(struct dev *d, uint32_t port)
{
    const Bulkhead__VsockConnect *m =
        wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECT)->vsock_connect;

    assert_int_equal(m->port, port);
    return m->token;
}

static void answer(struct dev *d, uint32_t token)
{
    Bulkhead__VsockConnected m = BULKHEAD__VSOCK_CONNECTED__INIT;
    ENVELOPE(e, VSOCK_CONNECTED, vsock_connected, &m);

    m.token = token;
    m.error = ECONNREFUSED;
    wh_send(d->wh, &e);
}

/* Questions wait for room as all else does, no more of them than a broker has to answer at once. */
static void questions_wait_for_a_broker(void **state)
{
    enum { ASKED = 64, GIVEN_UP = 10 };
    struct dev *d = new_dev(true);
    uint32_t tokens[ASKED];

    (void)state;
    wh_go_away(d->wh);
    for (unsigned i = 0; i < ASKED + 20; i++)
        guest_send(d, 1000 + i, 80, VIRTIO_VSOCK_OP_REQUEST);
    for (unsigned i = ASKED; i < ASKED + 20; i++)
        assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1000 + i);
    for (unsigned i = 0; i < GIVEN_UP; i++) /* which nobody was asked about */
        guest_send(d, 1000 + i, 80, VIRTIO_VSOCK_OP_RST);
    wh_come_back(d->wh);
    for (unsigned i = GIVEN_UP; i < ASKED; i++)
        tokens[i] = question(d, 80);
    wh_expect_silence(d->wh);
    answer(d, tokens[ASKED - 1]);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1000 + ASKED - 1);
    /* Another broker is asked about those that are still open, also while the guest stands still. */
    wh_quiesce(d->wh);
    wh_resync(d->wh, 2);
    for (unsigned i = GIVEN_UP; i < ASKED - 1; i++)
        assert_int_equal(question(d, 80), tokens[i]);
    wh_expect_silence(d->wh);
    wh_unquiesce(d->wh);
    for (unsigned i = GIVEN_UP; i < ASKED - 1; i++) {
        answer(d, tokens[i]);
        assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1000 + i);
    }
    for (unsigned i = 0; i < ASKED; i++) { /* and as many may be asked again */
        guest_send(d, 3000 + i, 81, VIRTIO_VSOCK_OP_REQUEST);
        tokens[i] = question(d, 81);
    }
    free_dev(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_leaves_at_once),
        cmocka_unit_test(a_program_that_leaves_without_reading),
        cmocka_unit_test(a_guest_that_leaves_is_heard),
        cmocka_unit_test(what_lies_in_the_ring_is_heard),
        cmocka_unit_test(a_slow_program_and_a_patient_guest),
        cmocka_unit_test(nobody_reads_the_rest),
        cmocka_unit_test(a_host_without_descriptors),
        cmocka_unit_test(those_who_linger_make_room),
        cmocka_unit_test(a_guest_without_a_driver),
        cmocka_unit_test(questions_wait_for_a_broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
