/* SPDX-License-Identifier: Apache-2.0 */
/* race_test.c - each device with a guest that rewrites everything while it is served: the queues
 * break, the driver resets them, and in the end the worker stops as it should. The programs are
 * built with racer.c, so that under ThreadSanitizer every access to guest RAM that is neither an
 * atomic cell nor a copy ends the worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness.h"
#include "race.h"

enum { KICKS = 4000, DISK_BYTES = 8 << 20 };

static uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 0x33 };
static int peer = -1; /* of the device's socket, kept open */

static void configure_blk(Bulkhead__Configure *c, void *arg)
{
    static Bulkhead__BlkConfig config;

    bulkhead__blk_config__init(&config);
    config.size = DISK_BYTES;
    config.block_size = 512;
    config.use_io_uring = arg == NULL;
    config.discard = true;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_BLK;
    c->blk = &config;
}

static void configure_net(Bulkhead__Configure *c, void *arg)
{
    static Bulkhead__NetWorkerConfig config;

    (void)arg;
    bulkhead__net_worker_config__init(&config);
    config.mac.data = mac;
    config.mac.len = sizeof mac;
    config.queue_pairs = 1;
    config.stream = true;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_NET;
    c->net = &config;
}

static void configure_vsock(Bulkhead__Configure *c, void *arg)
{
    static Bulkhead__VsockWorkerConfig config;

    (void)arg;
    bulkhead__vsock_worker_config__init(&config);
    config.cid = RACE_CID;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_VSOCK;
    c->vsock = &config;
}

static void configure_balloon(Bulkhead__Configure *c, void *arg)
{
    static Bulkhead__BalloonWorkerConfig config;

    (void)arg;
    bulkhead__balloon_worker_config__init(&config);
    config.size = 8 << 20;
    config.deflate_on_oom = true;
    config.free_page_reporting = true;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_BALLOON;
    c->balloon = &config;
}

static void configure_console(Bulkhead__Configure *c, void *arg)
{
    static Bulkhead__ConsoleWorkerConfig config;

    (void)arg;
    bulkhead__console_worker_config__init(&config);
    config.mode = BULKHEAD__CONSOLE_MODE__CONSOLE_FILE;
    config.virtio = true;
    c->role_case = BULKHEAD__CONFIGURE__ROLE_CONSOLE;
    c->console = &config;
}

/* The other end of a device's wire or connection: takes all it is given. */
static int socket_with_peer(void)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    peer = pair[1];
    return pair[0];
}

static int listening_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sa_family_t family = AF_UNIX;

    assert_int_equal(bind(fd, (struct sockaddr *)&family, sizeof family), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static int disk_in_memory(void)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    return fd;
}

static int nowhere(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static const struct device {
    const char *program;
    unsigned n_queues;
    void (*configure)(Bulkhead__Configure *c, void *arg);
    void *arg;
    int (*own_fd)(void);
    unsigned n_own_fds;
} devices[] = {
    { "bulkhead-dev-blk", 1, configure_blk, NULL, disk_in_memory, 1 },
    { "bulkhead-dev-blk", 1, configure_blk, "without io_uring", disk_in_memory, 1 },
    { "bulkhead-dev-net", 3, configure_net, NULL, socket_with_peer, 1 },
    { "bulkhead-dev-vsock", 3, configure_vsock, NULL, listening_socket, 1 },
    { "bulkhead-dev-rng", 1, NULL, NULL, NULL, 0 },
    { "bulkhead-dev-balloon", 4, configure_balloon, NULL, NULL, 0 },
    { "bulkhead-dev-console", 2, configure_console, NULL, nowhere, 2 },
};

static void drain_peer(void)
{
    char bytes[65536];

    while (peer >= 0 && read(peer, bytes, sizeof bytes) > 0)
        ;
}

/* The broker's answers to what a worker may say in such a life. */
static bool answer(struct wh *wh, Bulkhead__Envelope__BodyCase until)
{
    struct message msg = { 0 };
    bool needs_reset;

    if (wh_try_receive(wh, &msg) < 0) {
        /* Closed, or Failed: wait for the status, which says whether there was a report. */
        int status = wh_wait_exit(wh);

        fail_msg("%s ended, status %#x: %s", wh->config.program, status, wh->failure);
    }
    needs_reset = msg.envelope->body_case == BULKHEAD__ENVELOPE__BODY_NEEDS_RESET;
    if (msg.envelope->body_case == until)
        return true;
    if (needs_reset && until == BULKHEAD__ENVELOPE__BODY__NOT_SET) {
        wh_send_reset(wh);
        while (!answer(wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE))
            ;
        wh_activate(wh, wh->features, false);
        return true;
    }
    return false;
}

static unsigned live(struct wh *wh, unsigned n_queues)
{
    unsigned resets = 0;

    for (unsigned i = 0; i < KICKS; i++) {
        wh_kick_always(wh, i % n_queues);
        drain_peer();
        if (wh_has_message(wh, i % 8 == 0))
            resets += answer(wh, BULKHEAD__ENVELOPE__BODY__NOT_SET);
    }
    return resets;
}

static void race(const struct device *d)
{
    struct wh_config config = { .program = d->program,
                                .n_queues = d->n_queues,
                                .queue_size = RACE_QUEUE_SIZE,
                                .configure = d->configure,
                                .arg = d->arg,
                                .insecure = true };
    unsigned resets;
    struct wh *wh;

    for (unsigned i = 0; i < d->n_own_fds; i++)
        config.own_fds[config.n_own_fds++] = d->own_fd();
    wh = wh_new(&config);
    wh_start(wh);
    wh_activate(wh, wh->features, false);
    resets = live(wh, d->n_queues);
    printf("%s: %u resets, %llu operations, %llu faults of the guest\n", d->program, resets,
           (unsigned long long)(wh->stats->read_ops + wh->stats->write_ops),
           (unsigned long long)wh->stats->guest_faults);
    assert_true(resets > 0);
    assert_int_equal(wh_stop(wh), 0);
    wh_free(wh);
    if (peer >= 0)
        close(peer);
    peer = -1;
}

static void a_racing_guest_harms_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof devices / sizeof devices[0]; i++)
        race(&devices[i]);
}

#ifdef __SANITIZE_THREAD__
/* The same rng worker, but with one plain read of a descriptor: or else silence proves nothing. */
static void a_plain_access_is_reported(void **state)
{
    const struct wh_config config = { .program = "bulkhead-dev-rng-plain",
                                      .n_queues = 1,
                                      .queue_size = RACE_QUEUE_SIZE,
                                      .insecure = true };
    struct wh *wh = wh_new(&config);

    (void)state;
    assert_int_equal(wh_try_start(wh), -1);
    assert_int_equal(WEXITSTATUS(wh_wait_exit(wh)), RACE_REPORTED);
    wh_free(wh);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_racing_guest_harms_itself),
#ifdef __SANITIZE_THREAD__
        cmocka_unit_test(a_plain_access_is_reported),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
