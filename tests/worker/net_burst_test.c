/* SPDX-License-Identifier: Apache-2.0 */
/* net_burst_test.c - frames of the guest that go to a tap by the dozen, and the taps and hosts
 * where they can't. */
#include <dirent.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "net_driver.h"
#include <cmocka.h>

enum { FRAMES = 150, BURST = 64, MIN_FRAME = 60, QUIET_MS = 100 };

static size_t frame_bytes(unsigned number)
{
    return MIN_FRAME + number * 37 % 1400;
}

/* Each byte of a frame tells its number and place. */
static uint8_t byte_at(unsigned number, size_t i)
{
    return (uint8_t)(number * 131 + i * 7 + (i >> 8));
}

/* Where the frame lies in guest memory. */
static uint64_t frame_at(struct nic *n, unsigned slot)
{
    return netd_tx_at(n, 0) + slot * (uint64_t)BUF;
}

static void fill(struct nic *n, unsigned slot, unsigned number)
{
    size_t len = frame_bytes(number);
    uint64_t at = frame_at(n, slot);
    uint8_t *frame = wh_mem(n->wh, at + HDR, len);

    memcpy(wh_mem(n->wh, at, HDR), &netd_plain, HDR);
    netd_fill_frame(frame, len, 0);
    memcpy(frame + 14, &number, sizeof(number));
    for (size_t i = 18; i < len; i++)
        frame[i] = byte_at(number, i);
}

static void add(struct nic *n, unsigned q, unsigned slot, unsigned number)
{
    uint64_t at = frame_at(n, slot);
    struct wh_buf bufs[] = { { at, HDR, false },
                             { at + HDR, (uint32_t)frame_bytes(number), false } };

    fill(n, slot, number);
    assert_true(wh_add(n->wh, q, bufs, 2, true) >= 0);
}

static bool read_frame(struct nic *n, int timeout_ms, unsigned *ret_number)
{
    struct pollfd p = { .fd = n->peer, .events = POLLIN };
    uint8_t got[2000];
    ssize_t len;

    if (poll(&p, 1, timeout_ms) == 0)
        return false;
    len = recv(n->peer, got, sizeof(got), 0);
    assert_true(len >= MIN_FRAME);
    memcpy(ret_number, got + 14, sizeof(*ret_number));
    assert_int_equal(len, frame_bytes(*ret_number));
    for (size_t i = 18; i < (size_t)len; i++)
        assert_int_equal(got[i], byte_at(*ret_number, i));
    return true;
}

static void expect(struct nic *n, unsigned number)
{
    unsigned got = 0;

    assert_true(read_frame(n, WH_PATIENCE_MS, &got));
    assert_int_equal(got, number);
}

static void expect_nothing(struct nic *n)
{
    unsigned got;

    assert_false(read_frame(n, QUIET_MS, &got));
}

/* What was queued while it slept is all there when it looks. */
static void sleep_worker(struct nic *n)
{
    assert_int_equal(kill(n->wh->pid, SIGSTOP), 0);
}

static void wake_worker(struct nic *n, unsigned q)
{
    wh_kick(n->wh, q);
    assert_int_equal(kill(n->wh->pid, SIGCONT), 0);
}

/* The number of the worker's descriptor of its io_uring; -1: it has none. */
static int ring_fd(struct nic *n)
{
    char path[64], target[64];
    struct dirent *entry;
    int number = -1;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", n->wh->pid);
    dir = opendir(path);
    assert_non_null(dir);
    while (number < 0 && (entry = readdir(dir)) != NULL) {
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        target[len < 0 ? 0 : len] = '\0';
        if (strcmp(target, "anon_inode:[io_uring]") == 0)
            number = (int)strtol(entry->d_name, NULL, 10);
    }
    closedir(dir);
    return number;
}

/* How many operations the worker has put into its io_uring. */
static long ring_operations(struct nic *n)
{
    char path[64], line[128];
    long operations = -1;
    FILE *info;

    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", n->wh->pid, ring_fd(n));
    info = fopen(path, "re");
    assert_non_null(info);
    while (operations < 0 && fgets(line, sizeof(line), info))
        if (strncmp(line, "SqTail:", 7) == 0)
            operations = strtol(line + 7, NULL, 10);
    fclose(info);
    return operations;
}

static struct nic *started(unsigned pairs)
{
    struct nic *n = netd_new_tap(pairs);
    int room = 8 << 20;

    assert_int_equal(setsockopt(n->peer, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
    return n;
}

static void activate(struct nic *n)
{
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
}

static void send_all(struct nic *n)
{
    sleep_worker(n);
    for (unsigned i = 0; i < FRAMES; i++)
        add(n, TX, i, i);
    wake_worker(n, TX);
    for (unsigned i = 0; i < FRAMES; i++)
        expect(n, i);
    for (unsigned i = 0; i < FRAMES; i++)
        netd_sent(n);
    assert_int_equal(n->wh->stats->write_ops, FRAMES);
    assert_int_equal(wh_latencies(n->wh), FRAMES);
    assert_int_equal(n->wh->stats->dropped, 0);
}

static void in_order(void **state)
{
    struct nic *n = started(1);

    (void)state;
    activate(n);
    send_all(n);
    assert_true(ring_operations(n) >= FRAMES);
    netd_free(n);
}

static void disabled(void **state)
{
    struct nic *n = started(1);

    (void)state;
    n->config.use_io_uring = false;
    activate(n);
    send_all(n);
    assert_int_equal(ring_fd(n), -1);
    netd_free(n);
}

/* A tap that may say "full" has its frames one by one: what isn't taken is kept for later. */
static void tap_with_a_limit(void **state)
{
    struct nic *n = started(1);
    int limit = 1 << 20;

    (void)state;
    assert_int_equal(ioctl(n->wh->config.own_fds[0], TUNSETSNDBUF, &limit), 0);
    activate(n);
    send_all(n);
    assert_int_equal(ring_fd(n), -1);
    netd_free(n);
}

/* Makes the worker's ring look full, for ever. */
static void spoil_ring(struct nic *n)
{
    uint8_t *rings =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, n->wh->ring.fd, IORING_OFF_SQ_RING);

    assert_true(rings != MAP_FAILED);
    *(uint32_t *)(void *)(rings + n->wh->ring.params.sq_off.head) -= BURST;
    munmap(rings, 4096);
}

/* A ring that takes nothing costs no frame. */
static void ring_that_fails(void **state)
{
    struct nic *n = started(1);

    (void)state;
    activate(n);
    spoil_ring(n);
    send_all(n);
    assert_int_equal(ring_operations(n), 0);
    netd_free(n);
}

/* What lies keeps neither its neighbours nor its own chain. */
static void liars_among_them(void **state)
{
    struct virtio_net_hdr_v1 bad = { .gso_type = 0x77 };
    struct nic *n = started(1);

    (void)state;
    activate(n);
    sleep_worker(n);
    for (unsigned i = 0; i < FRAMES; i++) {
        add(n, TX, i, i);
        if (i % 3 == 1)
            memcpy(wh_mem(n->wh, frame_at(n, i), HDR), &bad, HDR);
    }
    wake_worker(n, TX);
    for (unsigned i = 0; i < FRAMES; i++)
        if (i % 3 != 1)
            expect(n, i);
    expect_nothing(n);
    for (unsigned i = 0; i < FRAMES; i++)
        netd_sent(n);
    assert_int_equal(n->wh->stats->dropped, FRAMES / 3);
    assert_int_equal(n->wh->stats->write_ops, FRAMES - FRAMES / 3);
    netd_free(n);
}

/* More pieces than a burst has room for: it goes in parts. */
static void many_pieces(void **state)
{
    enum { PIECES = 120, MANY = 60 };
    struct nic *n = started(1);
    struct wh_buf bufs[PIECES];

    (void)state;
    activate(n);
    sleep_worker(n);
    for (unsigned i = 0; i < MANY; i++) {
        uint64_t at = frame_at(n, i);
        uint32_t left = (uint32_t)(HDR + frame_bytes(i)), done = 0;

        fill(n, i, i);
        for (unsigned p = 0; p < PIECES; p++) {
            uint32_t len = left / (PIECES - p);

            len = len ? len : 1;
            if (p == PIECES - 1 || len > left)
                len = left;
            bufs[p] = (struct wh_buf){ at + done, len, false };
            done += len;
            left -= len;
            if (left == 0) {
                assert_true(wh_add(n->wh, TX, bufs, p + 1, true) >= 0);
                break;
            }
        }
    }
    wake_worker(n, TX);
    for (unsigned i = 0; i < MANY; i++)
        expect(n, i);
    for (unsigned i = 0; i < MANY; i++)
        netd_sent(n);
    netd_free(n);
}

/* Each pair's frames go to its own descriptor, here of two interfaces. */
static void each_pair_its_own(void **state)
{
    static const uint16_t two = 2;
    enum { CTRL_OF_TWO = 4, TX_1 = 3, SOME = 20 };
    struct nic *n = started(2), *other = started(1);

    (void)state;
    assert_true(dup2(other->wh->config.own_fds[0], n->wh->config.own_fds[1]) >= 0);
    activate(n);
    assert_int_equal(
        netd_control(n, CTRL_OF_TWO, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2),
        VIRTIO_NET_OK);
    for (unsigned q = TX; q <= TX_1; q += TX_1 - TX) {
        sleep_worker(n);
        for (unsigned i = 0; i < SOME; i++)
            add(n, q, i, i);
        wake_worker(n, q);
        for (unsigned i = 0; i < SOME; i++)
            expect(q == TX ? n : other, i);
        for (unsigned i = 0; i < SOME; i++)
            netd_sent_by(n, q);
        expect_nothing(q == TX ? other : n);
    }
    netd_free(n);
    netd_free(other);
}

/* Killed anywhere, each frame comes at least once, and in its order: some that went out before come
 * again, as many as a burst has at most. */
static void killed_among_them(void **state)
{
    enum { ROUNDS = 60 };
    struct nic *n = started(1);
    unsigned next = 0, got = 0, queued = 0, again = 0;

    (void)state;
    activate(n);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned last = queued + FRAMES;

        sleep_worker(n);
        for (; queued < last; queued++)
            add(n, TX, queued % FRAMES, queued);
        wake_worker(n, TX);
        usleep(round * 7);
        wh_restart(n->wh, n->wh->features);
        for (unsigned i = 0; i < FRAMES; i++)
            netd_sent(n);
        while (next < last) {
            assert_true(read_frame(n, WH_PATIENCE_MS, &got));
            assert_true(got <= next && got + BURST >= next);
            again += got < next;
            next = MAX(next, got + 1);
        }
    }
    print_message("%u frames, %u of them twice\n", queued, again);
    assert_int_equal(n->wh->stats->dropped, 0);
    netd_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),          cmocka_unit_test(disabled),
        cmocka_unit_test(tap_with_a_limit),  cmocka_unit_test(ring_that_fails),
        cmocka_unit_test(liars_among_them),  cmocka_unit_test(many_pieces),
        cmocka_unit_test(each_pair_its_own), cmocka_unit_test(killed_among_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
