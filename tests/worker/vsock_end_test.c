/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_end_test.c - how connections of the vsock worker end: what either side sent before arrives,
 * and nothing is kept that nobody will ever ask for. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
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
    } while (forwarded != before);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_leaves_at_once),
        cmocka_unit_test(a_program_that_leaves_without_reading),
        cmocka_unit_test(a_guest_that_leaves_is_heard),
        cmocka_unit_test(those_who_linger_make_room),
        cmocka_unit_test(a_guest_without_a_driver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
