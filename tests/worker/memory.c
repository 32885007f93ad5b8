/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - see memory.h. */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/loop.h"
#include <cmocka.h>

static int make_file(const char *name, uint64_t bytes, uint8_t **ret_map)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    *ret_map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(*ret_map != MAP_FAILED);
    return fd;
}

int wm_answer(struct wh *wh)
{
    return wh_expect(wh, BULKHEAD__ENVELOPE__BODY_RAM_CHANGED)->ram_changed->error;
}

/* ---- regions ---- */

void wm_make(struct wm_region *r, struct wh *wh, unsigned number, uint64_t address, uint64_t bytes)
{
    *r = (struct wm_region){ .wh = wh, .number = number, .address = address, .bytes = bytes };
    r->fd = make_file("region", bytes, &r->host);
}

void wm_unmake(struct wm_region *r)
{
    munmap(r->host, r->bytes);
    fd_closep(&r->fd);
}

void wm_send_add(const struct wm_region *r)
{
    Bulkhead__MemoryRegion region = BULKHEAD__MEMORY_REGION__INIT;
    Bulkhead__AddRegion add = BULKHEAD__ADD_REGION__INIT;
    ENVELOPE(e, ADD_REGION, add_region, &add);

    add.number = r->number;
    add.region = &region;
    region.guest_address = r->address;
    region.size = r->bytes;
    wh_send_fd(r->wh, &e, r->fd);
}

int wm_add(const struct wm_region *r)
{
    wm_send_add(r);
    return wm_answer(r->wh);
}

void wm_send_remove(const struct wm_region *r)
{
    Bulkhead__RemoveRegion remove = BULKHEAD__REMOVE_REGION__INIT;
    ENVELOPE(e, REMOVE_REGION, remove_region, &remove);

    remove.number = r->number;
    wh_send(r->wh, &e);
}

int wm_remove(const struct wm_region *r)
{
    wm_send_remove(r);
    return wm_answer(r->wh);
}

static uint8_t *byte_at(const struct wm_region *r, uint64_t address)
{
    if (address < r->wh->ram_bytes)
        return wh_mem(r->wh, address, 1);
    assert_true(address >= r->address && address - r->address < r->bytes);
    return r->host + (address - r->address);
}

void wm_put(const struct wm_region *r, uint64_t address, const void *src, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        *byte_at(r, address + i) = ((const uint8_t *)src)[i];
}

void wm_get(const struct wm_region *r, uint64_t address, void *dst, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        ((uint8_t *)dst)[i] = *byte_at(r, address + i);
}

/* ---- the dirty log ---- */

void wm_log_make(struct wm_log *log, struct wh *wh)
{
    *log = (struct wm_log){ .wh = wh, .bytes = align_up(wh->ram_bytes / PAGE_BYTES / 8, 8) };
    log->fd = make_file("dirty-log", align_up(log->bytes, PAGE_BYTES), &log->map);
    log->before = malloc(wh->ram_bytes);
    assert_non_null(log->before);
}

void wm_log_unmake(struct wm_log *log)
{
    munmap(log->map, align_up(log->bytes, PAGE_BYTES));
    fd_closep(&log->fd);
    free(log->before);
}

int wm_log_set(struct wm_log *log, bool on, uint64_t bytes)
{
    Bulkhead__SetDirtyLog set = BULKHEAD__SET_DIRTY_LOG__INIT;
    ENVELOPE(e, SET_DIRTY_LOG, set_dirty_log, &set);

    set.size = bytes;
    wh_send_fd(log->wh, &e, on ? log->fd : -1);
    return wm_answer(log->wh);
}

void wm_begin(struct wm_log *log)
{
    memcpy(log->before, log->wh->ram, log->wh->ram_bytes);
    memset(log->map, 0, log->bytes);
    wh_unquiesce(log->wh);
}

void wm_await_used(struct wh *wh, unsigned q, unsigned n)
{
    const uint64_t end = now_ns() + WH_PATIENCE_MS * 1000000ull;
    const struct wh_queue *queue = &wh->queues[q];

    while ((uint16_t)(__atomic_load_n(&queue->vring.used->idx, __ATOMIC_ACQUIRE) -
                      queue->last_used) < n) {
        if (now_ns() > end)
            fail_msg("queue %u: %u buffers were not used", q, n);
        poll(NULL, 0, 1);
    }
}

static bool within(uint64_t page, uint64_t address, uint64_t len)
{
    return page >= address / PAGE_BYTES && page <= (address + len - 1) / PAGE_BYTES;
}

static bool in_bufs(uint64_t page, const struct wh_buf *bufs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (bufs[i].write && within(page, bufs[i].addr, bufs[i].len))
            return true;
    return false;
}

static bool in_used_rings(const struct wh *wh, uint64_t page)
{
    for (unsigned q = 0; q < wh->config.n_queues; q++)
        if (within(page, wh->queues[q].used, 6 + 8ull * wh->queues[q].size))
            return true;
    return false;
}

unsigned wm_end(struct wm_log *log, const struct wh_buf *bufs, unsigned n)
{
    const struct wh *wh = log->wh;
    unsigned changed = 0;

    wh_quiesce(log->wh);
    for (uint64_t page = 0; page < wh->ram_bytes / PAGE_BYTES; page++) {
        const uint64_t at = page * PAGE_BYTES;
        bool is = memcmp(log->before + at, wh->ram + at, PAGE_BYTES) != 0;
        bool marked = log->map[page / 8] & 1u << page % 8;
        bool ours = in_bufs(page, bufs, n);

        if (is && !marked)
            fail_msg("%s wrote page %llu and did not mark it", wh->config.program,
                     (unsigned long long)page);
        if (marked && !ours && !in_used_rings(wh, page))
            fail_msg("%s marked page %llu, which it has not to write", wh->config.program,
                     (unsigned long long)page);
        changed += is && ours;
    }
    return changed;
}

/* ---- a balloon ---- */

static void configure_balloon(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_BALLOON;
    c->balloon = arg;
}

#define BALLOON_FEATURES                                                                           \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                                \
     1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BALLOON_F_REPORTING)

struct wh *wm_new_balloon(uint64_t address_end)
{
    static Bulkhead__BalloonWorkerConfig of = BULKHEAD__BALLOON_WORKER_CONFIG__INIT;
    const struct wh_config config = { .program = "bulkhead-dev-balloon",
                                      .configure = configure_balloon,
                                      .n_queues = 4,
                                      .queue_size = 64,
                                      .address_end = address_end,
                                      .arg = &of };
    struct wh *wh;

    of.size = UINT64_C(8) << 20;
    of.free_page_reporting = true;
    wh = wh_new(&config);
    memset(wh->ram, 0x5a, wh->ram_bytes);
    wh_start(wh);
    wh_activate(wh, BALLOON_FEATURES, false);
    return wh;
}

void wm_inflate(struct wh *wh, uint64_t address, uint64_t n_bytes)
{
    uint32_t n = (uint32_t)(n_bytes / PAGE_BYTES), len = n * (uint32_t)sizeof(uint32_t);
    uint64_t at = wh_data_base(wh);
    uint32_t *pfns = wh_mem(wh, at, len);

    for (uint32_t i = 0; i < n; i++)
        pfns[i] = (uint32_t)(address / PAGE_BYTES) + i;
    assert_true(wh_add(wh, 0, &(struct wh_buf){ at, len, false }, 1, false) >= 0);
}
