/* SPDX-License-Identifier: Apache-2.0 */
/* blk_driver.h - a small virtio-blk driver over the harness, for tests and benchmarks. */
#pragma once

#include "harness.h"

enum { BLKD_MAX_SLOTS = 1024, BLKD_PENDING = 0xff };

struct blkd_options {
    const char *path; /* the disk; NULL: a new temporary file of `bytes` in $TMPDIR or /var/tmp */
    uint64_t bytes;
    bool readonly, direct, no_uring, discard, fail_all, block_device;
    uint32_t block_size;           /* 0: 512 */
    uint32_t direct_align;         /* 0: as block_size */
    uint32_t range_align;          /* 0: as block_size */
    unsigned n_queues, queue_size; /* 0: 1, 256 */
    const char *serial;
    Bulkhead__RateLimit *limit;
    int group_fd; /* a page that disks share, duplicated; 0: none */
    const char *failpoint;
    uint64_t address_end; /* of regions that are added later */
};

/* One request's place in guest memory: header, status and data. */
struct blkd {
    struct wh *wh;
    int fd;        /* the disk, opened without O_DIRECT, to look at from outside */
    uint64_t base; /* of the slots */
    uint64_t data; /* caller's data area in guest memory */
    Bulkhead__BlkConfig config;
    uint64_t features; /* used at activation */
    int slot_of_head[WH_MAX_QUEUES][BLKD_MAX_SLOTS];
};

struct blkd_request {
    uint32_t type;
    uint64_t sector;
    uint64_t addr; /* guest memory */
    uint32_t len;
    unsigned pieces; /* the data in so many descriptors; 0: 1 */
    bool indirect;
};

struct blkd *blkd_new(const struct blkd_options *options); /* starts and activates */
/* The driver and its rings alone, for a device of others: no worker is started. */
struct blkd *blkd_new_without_worker(const struct blkd_options *options);
void blkd_free(struct blkd *d);
/* What the next start of the worker gets for a disk. */
void blkd_change_disk(struct blkd *d, const char *path);
/* Publishes without a kick. Slot: which header and status to use, distinct while in flight. */
void blkd_add(struct blkd *d, unsigned q, unsigned slot, const struct blkd_request *request);
/* Waits for one answer: slot, status and used length. */
unsigned blkd_wait(struct blkd *d, unsigned q, uint8_t *ret_status, uint32_t *ret_len);
/* blkd_wait() if there is an answer: its slot, or -1. Asks for the next interrupt. */
int blkd_try(struct blkd *d, unsigned q, uint8_t *ret_status, uint32_t *ret_len);
/* Adds, kicks, waits: the status. */
uint8_t blkd_do(struct blkd *d, const struct blkd_request *request);
uint8_t blkd_read(struct blkd *d, uint64_t sector, uint64_t addr, uint32_t len);
uint8_t blkd_write(struct blkd *d, uint64_t sector, uint64_t addr, uint32_t len);
uint8_t blkd_flush(struct blkd *d);
uint64_t blkd_header(const struct blkd *d, unsigned slot); /* 16 bytes, then the status at +16 */
/* Fills len bytes with a pattern that names `tag` and the place of each 8 bytes. */
void blkd_pattern(void *p, uint64_t len, uint64_t tag);
