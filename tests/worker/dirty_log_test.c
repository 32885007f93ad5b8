/* SPDX-License-Identifier: Apache-2.0 */
/* dirty_log_test.c - everything that a worker, or the kernel for it, writes to guest RAM is in the
 * dirty log, and nothing else: RAM before and after is compared with it, for each kind of worker. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_vsock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "blk_driver.h"
#include "memory.h"
#include "net_driver.h"
#include <cmocka.h>

#define MIB (1ull << 20)
#define RING_FEATURES                                                                              \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

/* A worker looks at its rings without a kick too: it stands still while they are filled. */
static void switch_on(struct wm_log *log, struct wh *wh)
{
    wm_log_make(log, wh);
    assert_int_equal(wm_log_set(log, true, log->bytes), 0);
    wh_quiesce(wh);
}

/* ---- rng ---- */

static const struct wh_config rng_config = { .program = "bulkhead-dev-rng",
                                             .n_queues = 1,
                                             .queue_size = 64 };

static void rng(void **state)
{
    struct wh *wh = wh_new(&rng_config);
    struct wm_log log;
    struct wh_buf bufs[32];

    (void)state;
    wh_start(wh);
    wh_activate(wh, RING_FEATURES, false);
    switch_on(&log, wh);
    for (unsigned i = 0; i < ARRAY_SIZE(bufs); i++) {
        bufs[i] = (struct wh_buf){ wh_data_base(wh) + i * 3 * 4096 + 4000, 200 + i, true };
        wh_add(wh, 0, &bufs[i], 1, i & 1);
    }
    wm_begin(&log);
    wm_await_used(wh, 0, ARRAY_SIZE(bufs));
    assert_int_equal(wm_end(&log, bufs, ARRAY_SIZE(bufs)), 2 * ARRAY_SIZE(bufs));
    wm_log_unmake(&log);
    wh_free(wh);
}

static void it_goes_on_and_off(void **state)
{
    struct wh *wh = wh_new(&rng_config);
    struct wh_buf buf = { wh_data_base(wh), 64, true };
    const uint64_t page = buf.addr / 4096;
    struct wm_log log;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wm_log_make(&log, wh);
    assert_int_equal(wm_log_set(&log, true, log.bytes - 8), EINVAL); /* too small for RAM */
    assert_int_equal(wm_log_set(&log, true, log.bytes), 0);          /* before a driver is there */
    wh_activate(wh, RING_FEATURES, false);
    for (unsigned round = 0; round < 6; round++) {
        bool on = round % 3 != 2;

        assert_int_equal(wm_log_set(&log, on, log.bytes), 0);
        memset(log.map, 0, log.bytes);
        wh_add(wh, 0, &buf, 1, false);
        wh_kick(wh, 0);
        wh_wait_used(wh, 0, &head, &len);
        assert_int_equal((log.map[page / 8] >> page % 8) & 1, on);
    }
    wm_log_unmake(&log);
    wh_free(wh);
}

#ifdef BH_FAILPOINTS
/* Killed between the used index and its mark: who comes after it marks the ring. */
static void a_death_in_between(void **state)
{
    struct wh_config config = rng_config;
    struct wh *wh;
    struct wm_log log;
    struct wh_buf buf;
    uint64_t page;

    (void)state;
    config.failpoint = "after_used:1";
    wh = wh_new(&config);
    buf = (struct wh_buf){ wh_data_base(wh), 64, true };
    page = 0x8000 / 4096;
    wh_start(wh);
    wm_log_make(&log, wh);
    assert_int_equal(wm_log_set(&log, true, log.bytes), 0);
    wh_activate(wh, RING_FEATURES, false);
    wh_add(wh, 0, &buf, 1, false);
    wh_kick(wh, 0);
    (void)wh_wait_exit(wh);
    memset(log.map, 0, log.bytes); /* as if it had not been marked */
    wh->config.failpoint = NULL;
    wh_start(wh);
    assert_int_equal(wm_log_set(&log, true, log.bytes), 0);
    wh_activate(wh, RING_FEATURES, true);
    assert_true(log.map[page / 8] & 1u << page % 8);
    wm_log_unmake(&log);
    wh_free(wh);
}
#endif

/* ---- disk ---- */

struct disk_case {
    const char *what;
    struct blkd_options options;
};

static unsigned count_pages(const struct wh_buf *buf)
{
    return (unsigned)((buf->addr + buf->len - 1) / 4096 - buf->addr / 4096 + 1);
}

static void disk_round(struct blkd *d, struct wm_log *log)
{
    struct wh_buf bufs[64];
    unsigned n = 0, pages = 0;

    for (unsigned slot = 0; slot < 24; slot++) {
        struct blkd_request request = { .type = slot % 3 == 2   ? VIRTIO_BLK_T_OUT
                                                : slot % 8 == 7 ? VIRTIO_BLK_T_GET_ID
                                                                : VIRTIO_BLK_T_IN,
                                        .sector = slot * 64,
                                        .addr = d->data + slot * 65536 + slot % 5 * 512,
                                        .len = 4096 + slot * 1024,
                                        .pieces = 1 + slot % 4,
                                        .indirect = slot & 1 };

        if (request.type == VIRTIO_BLK_T_GET_ID)
            request.len = 20;
        blkd_add(d, 0, slot, &request);
        bufs[n++] = (struct wh_buf){ blkd_header(d, slot) + 16, 1, true };
        if (request.type != VIRTIO_BLK_T_OUT)
            bufs[n++] = (struct wh_buf){ request.addr, request.len, true };
    }
    for (unsigned i = 0; i < n; i++)
        memset(wh_mem(d->wh, bufs[i].addr, bufs[i].len), 0x99, bufs[i].len);
    for (unsigned i = 0; i < n; i++)
        pages += bufs[i].len > 1 ? count_pages(&bufs[i]) : 0; /* some status bytes share one */
    wm_begin(log);
    wm_await_used(d->wh, 0, 24);
    assert_true(wm_end(log, bufs, n) > pages);
}

static void disk(void **state)
{
    static const struct disk_case cases[] = {
        { "io_uring", { .bytes = 8 * MIB, .queue_size = 1024, .serial = "a-serial" } },
        { "system calls",
          { .bytes = 8 * MIB, .queue_size = 1024, .serial = "a-serial", .no_uring = true } },
        { "direct",
          { .bytes = 8 * MIB, .queue_size = 1024, .serial = "a-serial", .direct = true } },
        { "bounced",
          { .bytes = 8 * MIB,
            .queue_size = 1024,
            .serial = "a-serial",
            .direct = true,
            .direct_align = 4096 } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct blkd *d = blkd_new(&cases[i].options);
        uint8_t *bytes = malloc(8 * MIB);
        struct wm_log log;

        print_message("disk: %s\n", cases[i].what);
        blkd_pattern(bytes, 8 * MIB, 77);
        assert_int_equal(pwrite(d->fd, bytes, 8 * MIB, 0), 8 * MIB);
        assert_int_equal(fsync(d->fd), 0);
        /* So far that used entries, used index and event index are in three pages. */
        for (unsigned k = 0; k < 600; k++)
            assert_int_equal(blkd_read(d, 0, d->data, 512), VIRTIO_BLK_S_OK);
        switch_on(&log, d->wh);
        disk_round(d, &log);
        wm_log_unmake(&log);
        blkd_free(d);
        free(bytes);
    }
}

/* A file that became shorter: a part of the buffer is written, and the request fails. */
static void disk_that_ends_early(void **state)
{
    const struct blkd_options options = { .bytes = 8 * MIB };
    struct blkd *d = blkd_new(&options);
    struct wh_buf bufs[2];
    struct wm_log log;
    uint8_t *bytes = malloc(MIB);

    (void)state;
    blkd_pattern(bytes, MIB, 78);
    assert_int_equal(pwrite(d->fd, bytes, MIB, 0), MIB);
    assert_int_equal(ftruncate(d->fd, 3 * 65536 + 512), 0);
    switch_on(&log, d->wh);
    blkd_add(d, 0, 0,
             &(struct blkd_request){
                 .type = VIRTIO_BLK_T_IN, .sector = 256, .addr = d->data + 100, .len = 4 * 65536 });
    bufs[0] = (struct wh_buf){ d->data + 100, 4 * 65536, true };
    bufs[1] = (struct wh_buf){ blkd_header(d, 0) + 16, 1, true };
    wm_begin(&log);
    wm_await_used(d->wh, 0, 1);
    assert_true(wm_end(&log, bufs, 2) > 16);
    wm_log_unmake(&log);
    blkd_free(d);
    free(bytes);
}

/* ---- network ---- */

static void network(void **state)
{
    struct nic *n = netd_new_stream();
    struct wh_buf bufs[33];
    struct wm_log log;
    uint64_t at;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE | MERGE, false);
    switch_on(&log, n->wh);
    /* Received: frames over several buffers, in the middle of pages. */
    for (unsigned i = 0; i < 32; i++) {
        bufs[i] = (struct wh_buf){ n->at + i * 2 * BUF + 3900, 700, true };
        assert_true(wh_add(n->wh, RX, &bufs[i], 1, false) >= 0);
    }
    /* Sent: only the used ring. */
    at = netd_tx_at(n, 0);
    memcpy(wh_mem(n->wh, at, HDR), &netd_plain, HDR);
    netd_fill_frame(wh_mem(n->wh, at + HDR, 1000), 1000, 9);
    wh_add(n->wh, TX, &(struct wh_buf){ at, HDR + 1000, false }, 1, false);
    /* Asked for what there is not: one byte of an answer. */
    at = netd_tx_at(n, 1);
    memset(wh_mem(n->wh, at, 8), 99, 8);
    memset(wh_mem(n->wh, at + 4096, 1), 0x5a, 1);
    bufs[32] = (struct wh_buf){ at + 4096, 1, true };
    wh_add(n->wh, CTRL, (struct wh_buf[]){ { at, 8, false }, bufs[32] }, 2, false);
    wm_begin(&log);
    for (unsigned i = 0; i < 8; i++)
        netd_write_stream_frame(n->peer, 1500, (uint8_t)(0x60 + i));
    wm_await_used(n->wh, RX, 8 * 3);
    wm_await_used(n->wh, TX, 1);
    wm_await_used(n->wh, CTRL, 1);
    assert_true(wm_end(&log, bufs, 33) > 8 * 3);
    wm_log_unmake(&log);
    netd_free(n);
}

/* ---- console ---- */

static void configure_console(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_CONSOLE;
    c->console = arg;
}

static void console(void **state)
{
    Bulkhead__ConsoleWorkerConfig of = BULKHEAD__CONSOLE_WORKER_CONFIG__INIT;
    struct wh_config config = { .program = "bulkhead-dev-console",
                                .configure = configure_console,
                                .n_queues = 2,
                                .queue_size = 64,
                                .n_own_fds = 2,
                                .arg = &of };
    int in[2], out[2];
    struct wh_buf bufs[8];
    struct wm_log log;
    struct wh *wh;
    char text[4000];

    (void)state;
    of.mode = BULKHEAD__CONSOLE_MODE__CONSOLE_TTY;
    of.virtio = true;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
    config.own_fds[0] = in[1];
    config.own_fds[1] = out[1];
    wh = wh_new(&config);
    wh_start(wh);
    wh_activate(wh, RING_FEATURES, false);
    switch_on(&log, wh);
    for (unsigned i = 0; i < ARRAY_SIZE(bufs); i++) {
        bufs[i] = (struct wh_buf){ wh_data_base(wh) + i * 8192 + 4000, 500, true };
        wh_add(wh, 0, &bufs[i], 1, false);
    }
    memset(text, 'x', sizeof text);
    memcpy(wh_mem(wh, wh_data_base(wh) + MIB, 100), text, 100);
    wh_add(wh, 1, &(struct wh_buf){ wh_data_base(wh) + MIB, 100, false }, 1, false);
    wm_begin(&log);
    assert_int_equal(write(in[0], text, sizeof text), sizeof text);
    wm_await_used(wh, 0, ARRAY_SIZE(bufs));
    wm_await_used(wh, 1, 1);
    assert_int_equal(wm_end(&log, bufs, ARRAY_SIZE(bufs)), 2 * ARRAY_SIZE(bufs));
    assert_int_equal(read(out[0], text, sizeof text), 100);
    wm_log_unmake(&log);
    wh_free(wh);
    close(in[0]);
    close(out[0]);
}

/* ---- vsock ---- */

enum { VS_RX, VS_TX, VS_HDR = 44, VS_CID = 42, VS_PORT = 1234, VS_BUFS = 16 };

static void configure_vsock(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_VSOCK;
    c->vsock = arg;
}

static struct wh *new_vsock(Bulkhead__VsockWorkerConfig *of, struct sockaddr_un *ret_addr,
                            socklen_t *ret_len)
{
    struct wh_config config = { .program = "bulkhead-dev-vsock",
                                .configure = configure_vsock,
                                .n_queues = 3,
                                .queue_size = 64,
                                .n_own_fds = 1,
                                .arg = of };
    sa_family_t family = AF_UNIX;

    config.own_fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(config.own_fds[0], (struct sockaddr *)&family, sizeof family), 0);
    assert_int_equal(listen(config.own_fds[0], 8), 0);
    *ret_len = sizeof *ret_addr;
    assert_int_equal(getsockname(config.own_fds[0], (struct sockaddr *)ret_addr, ret_len), 0);
    return wh_new(&config);
}

/* The guest's answer to a program of the host that wants its port. */
static void accept_in_guest(struct wh *wh, uint64_t request_at)
{
    struct virtio_vsock_hdr hdr;
    uint64_t at = wh_data_base(wh) + MIB;

    memcpy(&hdr, wh_mem(wh, request_at, sizeof hdr), sizeof hdr);
    assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(hdr.dst_port, VS_PORT);
    hdr = (struct virtio_vsock_hdr){ .src_cid = VS_CID,
                                     .dst_cid = 2,
                                     .src_port = VS_PORT,
                                     .dst_port = hdr.src_port,
                                     .type = VIRTIO_VSOCK_TYPE_STREAM,
                                     .op = VIRTIO_VSOCK_OP_RESPONSE,
                                     .buf_alloc = 1 << 18 };
    memcpy(wh_mem(wh, at, sizeof hdr), &hdr, sizeof hdr);
    wh_add(wh, VS_TX, &(struct wh_buf){ at, VS_HDR, false }, 1, false);
}

static void vsock(void **state)
{
    Bulkhead__VsockWorkerConfig of = BULKHEAD__VSOCK_WORKER_CONFIG__INIT;
    struct sockaddr_un addr;
    socklen_t addr_len;
    struct wh_buf bufs[VS_BUFS];
    struct wm_log log;
    struct wh *wh;
    int fd;
    char data[6000];

    (void)state;
    of.cid = VS_CID;
    wh = new_vsock(&of, &addr, &addr_len);
    wh_start(wh);
    wh_activate(wh, RING_FEATURES, false);
    switch_on(&log, wh);
    for (unsigned i = 0; i < VS_BUFS; i++) {
        bufs[i] = (struct wh_buf){ wh_data_base(wh) + i * 8192 + 3000, 4000, true };
        wh_add(wh, VS_RX, &bufs[i], 1, false);
    }
    wm_begin(&log); /* the request is a packet of the worker's own */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, addr_len), 0);
    assert_int_equal(write(fd, "CONNECT 1234\n", 13), 13);
    wm_await_used(wh, VS_RX, 1);
    assert_true(wm_end(&log, bufs, VS_BUFS) > 0);
    accept_in_guest(wh, bufs[0].addr);
    memset(data, 0x71, sizeof data);
    wm_begin(&log); /* data goes from the socket into the guest's buffers by the kernel */
    assert_true(read(fd, data, sizeof data) > 0); /* OK and its port */
    memset(data, 0x71, sizeof data);
    assert_int_equal(write(fd, data, sizeof data), sizeof data);
    wm_await_used(wh, VS_RX, 3);
    assert_true(wm_end(&log, bufs, VS_BUFS) >= 4);
    wm_log_unmake(&log);
    wh_free(wh);
    close(fd);
}

/* ---- balloon ---- */

/* Pages that are given up read as zeroes from then on. */
static void balloon(void **state)
{
    struct wh *wh = wm_new_balloon(0);
    const struct wh_buf bufs[2] = { { 16 * MIB, 300 * PAGE_BYTES, true },
                                    { 32 * MIB + 100, 4 * MIB, true } };
    struct wm_log log;

    (void)state;
    switch_on(&log, wh);
    wm_inflate(wh, bufs[0].addr, bufs[0].len);
    wh_add(wh, 2, &bufs[1], 1, false);
    wm_begin(&log);
    wm_await_used(wh, 0, 1);
    wm_await_used(wh, 2, 1);
    assert_int_equal(wm_end(&log, bufs, 2), 300 + 1023);
    wm_log_unmake(&log);
    wh_free(wh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rng),
        cmocka_unit_test(it_goes_on_and_off),
#ifdef BH_FAILPOINTS
        cmocka_unit_test(a_death_in_between),
#endif
        cmocka_unit_test(disk),
        cmocka_unit_test(disk_that_ends_early),
        cmocka_unit_test(network),
        cmocka_unit_test(console),
        cmocka_unit_test(vsock),
        cmocka_unit_test(balloon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
