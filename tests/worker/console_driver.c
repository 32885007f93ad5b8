/* SPDX-License-Identifier: Apache-2.0 */
/* console_driver.c - see console_driver.h. */
#include "console_driver.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include <cmocka.h>

static void configure(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_CONSOLE;
    c->console = arg;
}

static struct port *make(Bulkhead__ConsoleMode mode, unsigned queue_size, int in, int out)
{
    struct port *p = calloc(1, sizeof(*p));
    struct wh_config c = { .program = "bulkhead-dev-console", .configure = configure };

    bulkhead__console_worker_config__init(&p->config);
    p->config.mode = mode;
    p->config.virtio = queue_size != 0;
    c.arg = &p->config;
    if (queue_size != 0) {
        c.n_queues = 2;
        c.queue_size = queue_size;
    } else {
        int fd = memfd_create("serial", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_int_equal(ftruncate(fd, sizeof(*p->shared)), 0);
        p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        byte_ring_attach_producer(&p->out, &p->shared->to_worker);
        byte_ring_attach_consumer(&p->in, &p->shared->to_guest);
        p->to_worker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        p->to_guest = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        c.own_fds[c.n_own_fds++] = fd;
        c.own_fds[c.n_own_fds++] = p->to_worker;
        c.own_fds[c.n_own_fds++] = p->to_guest;
    }
    c.own_fds[c.n_own_fds++] = in;
    if (out >= 0)
        c.own_fds[c.n_own_fds++] = out;
    p->wh = wh_new(&c);
    return p;
}

struct port *new_port(Bulkhead__ConsoleMode mode, bool virtio, int in, int out)
{
    return make(mode, virtio ? 64 : 0, in, out);
}

struct port *new_virtio_port(Bulkhead__ConsoleMode mode, unsigned queue_size, int in, int out)
{
    return make(mode, queue_size, in, out);
}

void free_port(struct port *p)
{
    wh_free(p->wh);
    if (p->shared)
        munmap(p->shared, sizeof(*p->shared));
    free(p);
}

void print(struct port *p, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;

    while (len > 0) {
        size_t n = byte_ring_put(&p->out, at, len);

        at += n;
        len -= n;
        fd_event_signal(p->to_worker);
        if (n == 0 && poll(NULL, 0, 1) == 0 && wh_now_ns() > end)
            fail_msg("the worker leaves the ring full");
    }
}

void read_all(int fd, void *dst, size_t len)
{
    uint8_t *at = dst;

    while (len > 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
        n = read(fd, at, len);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void read_guest(struct port *p, void *dst, size_t len)
{
    uint8_t *at = dst;

    while (len > 0) {
        size_t n = byte_ring_peek(&p->in, at, len);
        struct pollfd pfd = { .fd = p->to_guest, .events = POLLIN };

        byte_ring_consume(&p->in, n);
        at += n;
        len -= n;
        if (n == 0)
            assert_int_equal(poll(&pfd, 1, WH_PATIENCE_MS), 1);
        fd_event_drain(p->to_guest);
    }
}

void pattern(uint8_t *dst, size_t len, uint32_t from)
{
    for (size_t i = 0; i + 4 <= len; i += 4) {
        uint32_t v = from + (uint32_t)i / 4;

        memcpy(dst + i, &v, sizeof(v));
    }
}

void wait_for(const uint64_t *counter, uint64_t at_least)
{
    uint64_t end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;

    while (__atomic_load_n(counter, __ATOMIC_RELAXED) < at_least) {
        if (wh_now_ns() > end)
            fail_msg("a counter stays at %llu", (unsigned long long)*counter);
        poll(NULL, 0, 1);
    }
}

void wait_for_beats(struct wh *wh, unsigned n)
{
    wait_for(&wh->stats->heartbeat, __atomic_load_n(&wh->stats->heartbeat, __ATOMIC_RELAXED) + n);
}
