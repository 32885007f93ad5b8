/* SPDX-License-Identifier: Apache-2.0 */
/* blk_driver.c - see blk_driver.h. */
#include "blk_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOT_BYTES = 64, STATUS_OFFSET = 16 };

static void configure(Bulkhead__Configure *c, void *arg)
{
    struct blkd *d = arg;

    c->role_case = BULKHEAD__CONFIGURE__ROLE_BLK;
    c->blk = &d->config;
}

static int make_disk(const struct blkd_options *o)
{
    const char *dir = getenv("TMPDIR");
    char path[256];
    int fd;

    snprintf(path, sizeof path, "%s/bulkhead-disk-XXXXXX", dir ? dir : "/var/tmp");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)o->bytes) < 0)
        wh_die("disk %s: %s", path, strerror(errno));
    return fd;
}

static int open_for_worker(int fd, const struct blkd_options *o)
{
    char path[64];
    int flags = (o->readonly ? O_RDONLY : O_RDWR) | (o->direct ? O_DIRECT : 0) | O_CLOEXEC;
    int disk;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    disk = open(path, flags);
    if (disk < 0)
        wh_die("opening the disk: %s", strerror(errno));
    return disk;
}

/* The file has no name from here on: nothing to leave behind. */
static void unname(int fd)
{
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        unlink(path);
    }
}

static void fill_config(struct blkd *d, const struct blkd_options *o)
{
    static const Bulkhead__BlkConfig init = BULKHEAD__BLK_CONFIG__INIT;

    d->config = init;
    d->config.size = o->bytes;
    d->config.block_size = o->block_size ? o->block_size : 512;
    d->config.direct_align = o->direct_align;
    d->config.range_align = o->range_align;
    d->config.readonly = o->readonly;
    d->config.direct = o->direct;
    d->config.use_io_uring = !o->no_uring;
    d->config.discard = o->discard;
    d->config.fail_all = o->fail_all;
    d->config.block_device = o->block_device;
    d->config.rate_limit = o->limit;
    d->config.rate_limit_group = o->group_fd > 0;
    if (o->serial)
        d->config.serial = (char *)(uintptr_t)o->serial;
}

struct blkd *blkd_new_without_worker(const struct blkd_options *o)
{
    struct blkd *d = calloc(1, sizeof *d);
    struct wh_config config = { .program = "bulkhead-dev-blk",
                                .n_queues = o->n_queues ? o->n_queues : 1,
                                .queue_size = o->queue_size ? o->queue_size : 256,
                                .address_end = o->address_end,
                                .configure = configure,
                                .arg = d,
                                .n_own_fds = 1,
                                .failpoint = o->failpoint };

    if (!d)
        wh_die("no memory");
    fill_config(d, o);
    d->fd = o->path ? open(o->path, O_RDWR | O_CLOEXEC) : make_disk(o);
    if (d->fd < 0)
        wh_die("%s: %s", o->path, strerror(errno));
    config.own_fds[0] = open_for_worker(d->fd, o);
    if (o->group_fd > 0)
        config.own_fds[config.n_own_fds++] = fcntl(o->group_fd, F_DUPFD_CLOEXEC, 3);
    if (!o->path)
        unname(d->fd);
    d->wh = wh_new(&config);
    d->base = wh_data_base(d->wh);
    d->data = d->base + BLKD_MAX_SLOTS * SLOT_BYTES;
    return d;
}

struct blkd *blkd_new(const struct blkd_options *o)
{
    struct blkd *d = blkd_new_without_worker(o);

    wh_start(d->wh);
    d->features = d->wh->features;
    wh_activate(d->wh, d->features, false);
    return d;
}

void blkd_change_disk(struct blkd *d, const char *path)
{
    int *fd = &d->wh->config.own_fds[0];

    close(*fd);
    *fd = open(path, O_RDWR | O_CLOEXEC | (d->config.direct ? O_DIRECT : 0));
    if (*fd < 0)
        wh_die("%s: %s", path, strerror(errno));
}

void blkd_free(struct blkd *d)
{
    wh_free(d->wh);
    close(d->fd);
    free(d);
}

uint64_t blkd_header(const struct blkd *d, unsigned slot)
{
    return d->base + (uint64_t)slot * SLOT_BYTES;
}

void blkd_add(struct blkd *d, unsigned q, unsigned slot, const struct blkd_request *r)
{
    uint64_t at = blkd_header(d, slot);
    struct virtio_blk_outhdr header = { .type = r->type, .sector = r->sector };
    bool in = r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID;
    unsigned pieces = r->len == 0 ? 0 : r->pieces ? r->pieces : 1;
    struct wh_buf bufs[256];
    unsigned n = 0;
    uint32_t done = 0;
    int head;

    memcpy(wh_mem(d->wh, at, sizeof header), &header, sizeof header);
    *(uint8_t *)wh_mem(d->wh, at + STATUS_OFFSET, 1) = BLKD_PENDING;
    bufs[n++] = (struct wh_buf){ at, sizeof header, false };
    for (unsigned i = 0; i < pieces; i++) {
        uint32_t len = i + 1 == pieces ? r->len - done : r->len / pieces;

        bufs[n++] = (struct wh_buf){ r->addr + done, len, in };
        done += len;
    }
    bufs[n++] = (struct wh_buf){ at + STATUS_OFFSET, 1, true };
    head = wh_add(d->wh, q, bufs, n, r->indirect);
    if (head < 0)
        wh_die("queue %u is full", q);
    d->slot_of_head[q][head] = (int)slot;
}

static unsigned take_answer(struct blkd *d, unsigned q, uint16_t head, uint8_t *ret_status)
{
    unsigned slot;

    if (d->slot_of_head[q][head] < 0)
        wh_die("head %u of queue %u was answered twice", head, q);
    slot = (unsigned)d->slot_of_head[q][head];
    d->slot_of_head[q][head] = -1;
    *ret_status = *(uint8_t *)wh_mem(d->wh, blkd_header(d, slot) + STATUS_OFFSET, 1);
    return slot;
}

unsigned blkd_wait(struct blkd *d, unsigned q, uint8_t *ret_status, uint32_t *ret_len)
{
    uint16_t head = 0;

    wh_wait_used(d->wh, q, &head, ret_len);
    return take_answer(d, q, head, ret_status);
}

int blkd_try(struct blkd *d, unsigned q, uint8_t *ret_status, uint32_t *ret_len)
{
    uint16_t head = 0;

    if (!wh_try_used(d->wh, q, &head, ret_len)) {
        wh_want_interrupt(d->wh, q);
        return -1;
    }
    return (int)take_answer(d, q, head, ret_status);
}

uint8_t blkd_do(struct blkd *d, const struct blkd_request *request)
{
    uint8_t status = 0;
    uint32_t len = 0;

    blkd_add(d, 0, 0, request);
    wh_kick(d->wh, 0);
    (void)blkd_wait(d, 0, &status, &len);
    return status;
}

uint8_t blkd_read(struct blkd *d, uint64_t sector, uint64_t addr, uint32_t len)
{
    return blkd_do(d, &(struct blkd_request){ VIRTIO_BLK_T_IN, sector, addr, len, 1, false });
}

uint8_t blkd_write(struct blkd *d, uint64_t sector, uint64_t addr, uint32_t len)
{
    return blkd_do(d, &(struct blkd_request){ VIRTIO_BLK_T_OUT, sector, addr, len, 1, false });
}

uint8_t blkd_flush(struct blkd *d)
{
    return blkd_do(d, &(struct blkd_request){ .type = VIRTIO_BLK_T_FLUSH });
}

void blkd_pattern(void *p, uint64_t len, uint64_t tag)
{
    uint8_t *bytes = p;

    for (uint64_t i = 0; i < len; i += 8) {
        uint64_t v = tag * 0x9e3779b97f4a7c15ull + i;

        memcpy(bytes + i, &v, (size_t)(len - i < 8 ? len - i : 8));
    }
}
