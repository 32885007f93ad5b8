/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_test.c - the vsock worker in its sandbox: host programs on one side, a guest's driver that
 * knows the protocol well, or lies, on the other. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "config/config.h"
#include "plan/plan.h"
#include "plan/plan_message.h"
#include "vsock_driver.h"
#include <cmocka.h>

static void host_to_guest_and_back(void **state)
{
    struct dev *d = new_dev(true);
    uint32_t host;
    char got[64];
    int fd = open_from_host(d, 52, &host);
    pkt p;

    (void)state;
    host_write(fd, "ping", 4);
    p = guest_expect(d, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(p.len, 4);
    assert_memory_equal(d->payload, "ping", 4);
    guest_data(d, 52, host, "pong!", 5);
    assert_int_equal(host_read(fd, got, 5), 5);
    assert_memory_equal(got, "pong!", 5);
    close(fd); /* both ways at once */
    p = guest_expect(d, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(p.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
    guest_send(d, 52, host, VIRTIO_VSOCK_OP_RST);
    guest_data(d, 52, host, "x", 1); /* nobody is there any more */
    guest_expect(d, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(d->wh->stats->connections, 1);
    assert_int_equal(wh_latencies(d->wh), 4); /* response, data, reset, data */
    assert_int_equal(WEXITSTATUS(wh_stop(d->wh)), 0);
    free_dev(d);
}

/* What is written behind the line in the same go belongs to the stream. */
static void the_line_takes_no_byte_too_many(void **state)
{
    struct dev *d = new_dev(true);
    char line[32];
    int fd = host_connect(d);
    pkt p;

    (void)state;
    host_write(fd, "CONN", 4);
    host_write(fd, "ECT 7\nhello", 11);
    p = guest_expect(d, VIRTIO_VSOCK_OP_REQUEST);
    guest_send(d, 7, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
    assert_true(host_read_line(fd, line, sizeof(line)) > 3);
    p = guest_expect(d, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(p.len, 5);
    assert_memory_equal(d->payload, "hello", 5);
    close(fd);
    free_dev(d);
}

static void bad_lines_and_refusals(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.0\r\n\r\n", "CONNECT x\n", "CONNECT 4294967295\n",
        "CONNECT 00000000000000000000000000000000000000000000001\n"
    };
    struct dev *d = new_dev(true);
    char got[8];
    int fd;
    pkt p;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fd = host_connect(d);
        host_write(fd, bad[i], strlen(bad[i]));
        assert_int_equal(host_read(fd, got, 1), 0);
        close(fd);
    }
    fd = host_connect(d);
    close(fd); /* says nothing and leaves */
    fd = host_connect(d);
    host_write(fd, "CONNECT 9\n", 10);
    p = guest_expect(d, VIRTIO_VSOCK_OP_REQUEST);
    guest_send(d, 9, p.src_port, VIRTIO_VSOCK_OP_RST); /* nobody listens in the guest */
    assert_int_equal(host_read(fd, got, 1), 0);
    close(fd);
    free_dev(d);
}

static void guest_to_host_and_back(void **state)
{
    Bulkhead__VsockConnected m = BULKHEAD__VSOCK_CONNECTED__INIT;
    ENVELOPE(e, VSOCK_CONNECTED, vsock_connected, &m);
    struct dev *d = new_dev(true);
    char got[8];
    int fd = open_from_guest(d, 1024, 80);
    pkt p;

    (void)state;
    guest_data(d, 1024, 80, "GET", 3);
    assert_int_equal(host_read(fd, got, 3), 3);
    host_write(fd, "200", 3);
    p = guest_expect(d, VIRTIO_VSOCK_OP_RW);
    assert_memory_equal(d->payload, "200", 3);
    /* Half-close from the guest: the host sees the end and can still answer. */
    p = packet(1024, 80, VIRTIO_VSOCK_OP_SHUTDOWN);
    p.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
    guest_send_raw(d, &p, NULL, 0);
    assert_int_equal(host_read(fd, got, 1), 0);
    host_write(fd, "bye", 3);
    guest_expect(d, VIRTIO_VSOCK_OP_RW);
    assert_memory_equal(d->payload, "bye", 3);
    p.flags |= VIRTIO_VSOCK_SHUTDOWN_RCV;
    guest_send_raw(d, &p, NULL, 0);
    guest_expect(d, VIRTIO_VSOCK_OP_RST);
    close(fd);

    guest_send(d, 1025, 81, VIRTIO_VSOCK_OP_REQUEST); /* the broker finds nobody */
    m.token = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECT)->vsock_connect->token;
    m.error = ECONNREFUSED;
    wh_send(d->wh, &e);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1025);
    wh_send(d->wh, &e); /* an answer to nothing */
    m.token = 0xffffffff;
    wh_send(d->wh, &e);
    fd = open_from_guest(d, 1026, 82);
    close(fd);
    free_dev(d);
}

static void host_half_closes(void **state)
{
    struct dev *d = new_dev(true);
    uint32_t host;
    char got[8];
    int fd = open_from_host(d, 5, &host);
    pkt p;

    (void)state;
    host_write(fd, "all", 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    guest_expect(d, VIRTIO_VSOCK_OP_RW);
    p = guest_expect(d, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(p.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    guest_data(d, 5, host, "answer", 6);
    assert_int_equal(host_read(fd, got, 6), 6);
    close(fd); /* seen although nothing is read any more */
    p = guest_expect(d, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(p.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
    free_dev(d);
}

/* The guest may send what it was promised and no more; it learns when there is room again. */
static void credit_from_the_guest(void **state)
{
    static uint8_t data[16384], got[65536];
    struct dev *d = new_dev(true);
    uint32_t host, sent = 0, room = 65536, forwarded = 0;
    uint64_t total = 0, end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;
    int fd = open_from_host(d, 5, &host);
    pkt p = { 0 };

    (void)state;
    memset(data, 'd', sizeof(data));
    while (sent < 2000000) {
        if (room >= sizeof(data)) {
            guest_data(d, 5, host, data, sizeof(data));
            sent += (uint32_t)sizeof(data);
        } else {
            ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);

            total += n > 0 ? (uint64_t)n : 0;
            assert_true(wh_now_ns() < end);
        }
        while (guest_try_take(d, &p)) {
            assert_int_equal(p.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
            assert_int_equal(p.buf_alloc, 65536);
            forwarded = p.fwd_cnt;
        }
        assert_true(sent - forwarded <= 65536);
        room = 65536 - (sent - forwarded);
    }
    while (total < sent)
        total += host_read(fd, got, MIN(sizeof(got), sent - total));
    assert_int_equal(total, sent);
    /* Beyond the promise: reset, not memory. */
    for (unsigned i = 0; i < 200 && p.op != VIRTIO_VSOCK_OP_RST; i++) {
        guest_data(d, 5, host, data, sizeof(data));
        while (p.op != VIRTIO_VSOCK_OP_RST && guest_try_take(d, &p))
            ;
    }
    assert_int_equal(p.op, VIRTIO_VSOCK_OP_RST);
    close(fd);
    free_dev(d);
}

/* The device sends no more than the guest has room for, asks once, and goes on when told. */
static void credit_to_the_guest(void **state)
{
    static uint8_t data[100000];
    struct dev *d = new_dev(true);
    char line[64];
    uint32_t got = 0, used_len;
    int fd = host_connect(d);
    pkt p, answer;
    uint16_t head;

    (void)state;
    host_write(fd, "CONNECT 6\n", 10);
    p = guest_expect(d, VIRTIO_VSOCK_OP_REQUEST);
    answer = packet(6, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
    answer.buf_alloc = 10000;
    guest_send_raw(d, &answer, NULL, 0);
    host_read_line(fd, line, sizeof(line));
    host_write(fd, data, sizeof(data));
    answer.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    while (got < sizeof(data)) {
        p = guest_take(d);
        if (p.op == VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
            /* Once, and then it waits; a late interrupt for what was taken already is none. */
            (void)wh_wait_interrupt(d->wh, RX, 50);
            assert_false(wh_try_used(d->wh, RX, &head, &used_len));
            answer.fwd_cnt = got;
            guest_send_raw(d, &answer, NULL, 0);
            continue;
        }
        assert_int_equal(p.op, VIRTIO_VSOCK_OP_RW);
        got += p.len;
        assert_true(got - answer.fwd_cnt <= answer.buf_alloc);
    }
    assert_int_equal(got, sizeof(data));
    answer.fwd_cnt = got + 5; /* it has read what it never got: no credit, no harm */
    guest_send_raw(d, &answer, NULL, 0);
    host_write(fd, data, 100);
    p = guest_take(d);
    assert_int_equal(p.op, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    close(fd);
    free_dev(d);
}

static void hostile_packets(void **state)
{
    struct dev *d = new_dev(true);
    uint32_t host;
    int fd = open_from_host(d, 5, &host);
    uint64_t at = d->at + 1000ull * BUF;
    uint16_t head;
    uint32_t len;
    char got[4];
    pkt p;

    (void)state;
    p = packet(5, host, VIRTIO_VSOCK_OP_RW);
    p.src_cid = CID + 1; /* another guest's name: not even answered */
    guest_send_raw(d, &p, NULL, 0);
    p = packet(99, 98, VIRTIO_VSOCK_OP_RW);
    p.type = 7;
    guest_send_raw(d, &p, NULL, 0);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 99);
    p = packet(97, 96, 55);
    guest_send_raw(d, &p, NULL, 0);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 97);
    guest_send(d, 95, 94, VIRTIO_VSOCK_OP_RST); /* a reset is never answered */
    assert_true(wh_add(d->wh, TX, &(struct wh_buf){ at, 43, false }, 1, false) >= 0);
    wh_kick(d->wh, TX); /* cut header */
    wh_wait_used(d->wh, TX, &head, &len);
    p = packet(5, host, VIRTIO_VSOCK_OP_RW);
    p.len = 1000; /* claims more than it brings: that connection ends, the device doesn't */
    guest_send_raw(d, &p, "abc", 3);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 5);
    assert_int_equal(host_read(fd, got, 1), 0);
    close(fd);
    fd = open_from_host(d, 6, &host);
    guest_send(d, 6, host, VIRTIO_VSOCK_OP_REQUEST); /* it is open already */
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 6);
    close(fd);
    assert_false(wh_has_message(d->wh, 0));
    free_dev(d);
}

/* Sends as long as packets are taken, until n were. */
static unsigned flood(struct dev *d, unsigned n)
{
    uint64_t at = d->at, end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;
    unsigned taken = 0;
    uint16_t head;
    uint32_t len;

    do {
        while (wh_add(d->wh, TX, &(struct wh_buf){ at, HDR, false }, 1, false) >= 0)
            ;
        wh_kick(d->wh, TX);
        while (wh_try_used(d->wh, TX, &head, &len))
            taken++;
        poll(NULL, 0, 1);
    } while (taken < n && wh_now_ns() < end);
    return taken;
}

/* A guest that floods and takes no answers is held back; nothing grows, nobody else is harmed. */
static void a_flood_is_bounded(void **state)
{
    enum { OWED = 128 };            /* answers, at most */
    struct dev *d = new_dev(false); /* no buffers for answers */
    uint64_t at = d->at;
    pkt p = packet(1, 2, VIRTIO_VSOCK_OP_RW);
    unsigned answered = 0;
    uint16_t head;
    uint32_t len;

    (void)state;
    memcpy(wh_mem(d->wh, at, HDR), &p, HDR);
    assert_int_equal(flood(d, OWED), OWED);
    for (unsigned i = 0; i < 3; i++) { /* it looks at its queues again, and takes nothing */
        wh_quiesce(d->wh);
        wh_unquiesce(d->wh);
        assert_int_equal(flood(d, 0), 0);
    }
    for (unsigned i = 0; i < RX_BUFS; i++)
        give_buffer(d, 2000 + i);
    wh_kick(d->wh, RX);
    while (answered < 1000) { /* and it goes on when they are taken */
        assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1);
        answered++;
        while (wh_try_used(d->wh, TX, &head, &len))
            (void)wh_add(d->wh, TX, &(struct wh_buf){ at, HDR, false }, 1, false);
        wh_kick(d->wh, TX);
    }
    free_dev(d);
}

/* Questions to the broker are limited too. */
static void a_flood_of_requests(void **state)
{
    struct dev *d = new_dev(true);
    unsigned asked = 0, refused = 0;
    pkt p;

    (void)state;
    for (unsigned i = 0; i < 80; i++)
        guest_send(d, 1000 + i, 80, VIRTIO_VSOCK_OP_REQUEST);
    while (asked < 64) {
        wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECT);
        asked++;
    }
    while (refused < 16) {
        p = guest_expect(d, VIRTIO_VSOCK_OP_RST);
        assert_true(p.dst_port >= 1064);
        refused++;
    }
    assert_false(wh_has_message(d->wh, 50));
    free_dev(d);
}

static uint32_t question(struct dev *d)
{
    return wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECT)->vsock_connect->token;
}

static void refuse_question(struct dev *d, uint32_t token)
{
    Bulkhead__VsockConnected m = BULKHEAD__VSOCK_CONNECTED__INIT;
    ENVELOPE(e, VSOCK_CONNECTED, vsock_connected, &m);

    m.token = token;
    m.error = ECONNREFUSED;
    wh_send(d->wh, &e);
}

/* Asks for a connection and gives it up at once, by a reset or by shutting it down. */
static void ask_and_give_up(struct dev *d, unsigned i)
{
    guest_send(d, 1000, 80, VIRTIO_VSOCK_OP_REQUEST);
    if (i % 2 == 0) {
        guest_send(d, 1000, 80, VIRTIO_VSOCK_OP_RST);
        return;
    }
    guest_send(d, 1000, 80, VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1000);
}

/* A question counts until it is answered, whatever became of its connection. */
static void a_flood_of_requests_given_up(void **state)
{
    enum { ASKED = 64 };
    struct dev *d = new_dev(true);
    uint32_t tokens[ASKED];

    (void)state;
    for (unsigned i = 0; i < ASKED; i++) {
        ask_and_give_up(d, i);
        tokens[i] = question(d);
    }
    for (unsigned i = 0; i < 100; i++) {
        guest_send(d, 1000, 80, VIRTIO_VSOCK_OP_REQUEST);
        assert_false(wh_has_message(d->wh, 0)); /* it would be there before the packet came back */
        assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RST).dst_port, 1000);
        guest_send(d, 1000, 80, VIRTIO_VSOCK_OP_RST);
    }
    for (unsigned i = 0; i < ASKED; i++)
        refuse_question(d, tokens[i]);
    wh_quiesce(d->wh); /* all answers have been read */
    wh_unquiesce(d->wh);
    for (unsigned i = 0; i < ASKED; i++) { /* and as many may be asked again */
        ask_and_give_up(d, i);
        refuse_question(d, question(d));
    }
    wh_quiesce(d->wh);
    wh_unquiesce(d->wh);
    close(open_from_guest(d, 5, 1234));
    free_dev(d);
}

#ifndef BH_SANITIZED /* shadow memory is terabytes of it */
/* "<=" and the bytes, of the plan that an audit compares with. */
static unsigned long long planned_data(void)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT, *c = config_copy(&empty);
    const struct plan_host host = { .cgroup = "" };
    unsigned long long most = 0;
    Bulkhead__VmPlan *message;
    struct plan plan;

    assert_int_equal(config_fill(c, "vm"), 0);
    c->vsock->enabled = true;
    plan_make(c, &plan);
    message = plan_message(&plan, c, &host);
    assert_non_null(message);
    for (size_t i = 0; i < message->n_processes; i++)
        for (size_t j = 0; j < message->processes[i]->n_rlimits; j++)
            if (message->processes[i]->role == BULKHEAD__ROLE__ROLE_VSOCK &&
                strcmp(message->processes[i]->rlimits[j]->key, "DATA") == 0)
                most = strtoull(message->processes[i]->rlimits[j]->value + 2, NULL, 10);
    bulkhead__vm_plan__free_unpacked(message, NULL);
    config_free(c);
    return most;
}

static void its_memory_is_limited_as_planned(void **state)
{
    struct dev *d = new_dev(true);
    struct rlimit limit;

    (void)state;
    assert_int_equal(prlimit(d->wh->pid, RLIMIT_DATA, NULL, &limit), 0);
    assert_true(limit.rlim_max <= planned_data());
    assert_true(limit.rlim_max > planned_data() / 2);
    free_dev(d);
}
#endif

static void a_thousand_connections(void **state)
{
    enum { N = 1000 };
    struct rlimit files = { 8192, 8192 };
    struct dev *d = new_dev(true);
    static uint32_t host[N];
    static int fds[N];
    char got[8];

    (void)state;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (unsigned i = 0; i < N; i++)
        fds[i] = open_from_host(d, 7000 + i, &host[i]);
    for (unsigned i = 0; i < N; i += 7) {
        char text[8];
        pkt p;

        snprintf(text, sizeof(text), "%05u", i);
        host_write(fds[i], text, 5);
        p = guest_expect(d, VIRTIO_VSOCK_OP_RW);
        assert_int_equal(p.dst_port, 7000 + i);
        assert_memory_equal(d->payload, text, 5);
        guest_data(d, 7000 + i, host[i], text, 5);
        assert_int_equal(host_read(fds[i], got, 5), 5);
        assert_memory_equal(got, text, 5);
    }
    for (unsigned i = 0; i < N; i++) {
        guest_send(d, 7000 + i, host[i], VIRTIO_VSOCK_OP_RST);
        assert_int_equal(host_read(fds[i], got, 1), 0);
        close(fds[i]);
    }
    assert_int_equal(d->wh->stats->connections, N);
    close(open_from_host(d, 5, &host[0])); /* all slots are free again */
    free_dev(d);
}

/* More host programs than there are slots: the others wait, and get their turn. */
static void a_crowd_of_silent_programs(void **state)
{
    enum { N = 1400 };
    static int fds[N];
    struct dev *d = new_dev(true);
    uint32_t host;
    int fd;

    (void)state;
    for (unsigned i = 0; i < N; i++)
        fds[i] = host_connect(d);
    for (unsigned i = 0; i < N; i++)
        close(fds[i]);
    fd = open_from_host(d, 5, &host);
    close(fd);
    free_dev(d);
}

static void a_restart_resets_the_transport(void **state)
{
    struct dev *d = new_dev(true);
    struct virtio_vsock_event event;
    uint64_t at = d->at + 900ull * BUF;
    uint32_t host, len;
    uint16_t head;
    char got[4];
    int fd = open_from_host(d, 5, &host);

    (void)state;
    assert_true(wh_add(d->wh, EVENT, &(struct wh_buf){ at, 8, true }, 1, false) >= 0);
    assert_true(wh_add(d->wh, EVENT, &(struct wh_buf){ at + 64, 8, true }, 1, false) >= 0);
    wh_kick(d->wh, EVENT);
    wh_restart(d->wh, FEATURES);
    wh_wait_used(d->wh, EVENT, &head, &len);
    assert_int_equal(len, sizeof(event));
    memcpy(&event, wh_mem(d->wh, at, sizeof(event)), sizeof(event));
    assert_int_equal(event.id, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    assert_int_equal(host_read(fd, got, 1), 0); /* the host's side is closed */
    close(fd);
    guest_data(d, 5, host, "x", 1);
    guest_expect(d, VIRTIO_VSOCK_OP_RST);
    fd = open_from_host(d, 6, &host); /* the next one works */
    close(fd);
    assert_false(wh_try_used(d->wh, EVENT, &head, &len));
    free_dev(d);
}

static void a_driver_reset_closes_all(void **state)
{
    struct dev *d = new_dev(true);
    uint32_t host;
    char got[4];
    int fd = open_from_host(d, 5, &host);

    (void)state;
    wh_reset(d->wh);
    assert_int_equal(host_read(fd, got, 1), 0);
    close(fd);
    wh_activate(d->wh, FEATURES, false);
    for (unsigned i = 0; i < RX_BUFS; i++)
        give_buffer(d, i);
    wh_kick(d->wh, RX);
    close(open_from_host(d, 5, &host));
    free_dev(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_to_guest_and_back),
#ifndef BH_SANITIZED
        cmocka_unit_test(its_memory_is_limited_as_planned),
#endif
        cmocka_unit_test(the_line_takes_no_byte_too_many),
        cmocka_unit_test(bad_lines_and_refusals),
        cmocka_unit_test(guest_to_host_and_back),
        cmocka_unit_test(host_half_closes),
        cmocka_unit_test(credit_from_the_guest),
        cmocka_unit_test(credit_to_the_guest),
        cmocka_unit_test(hostile_packets),
        cmocka_unit_test(a_flood_is_bounded),
        cmocka_unit_test(a_flood_of_requests),
        cmocka_unit_test(a_flood_of_requests_given_up),
        cmocka_unit_test(a_thousand_connections),
        cmocka_unit_test(a_crowd_of_silent_programs),
        cmocka_unit_test(a_restart_resets_the_transport),
        cmocka_unit_test(a_driver_reset_closes_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
