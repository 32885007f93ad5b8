/* SPDX-License-Identifier: Apache-2.0 */
/* vq_fixture.h - RAM between guard pages, a queue over it, and a guest to fill the rings. */
#pragma once

#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "vq.h"
#include <cmocka.h>

/* Two regions of RAM, each between guard pages: LOW at 0 and HIGH at 4 GiB, as on a real guest. */
#define LOW_BYTES 0x20000ull
#define HIGH_BASE 0x100000000ull
#define HIGH_BYTES 0x10000ull
#define DESC 0x0ull
#define AVAIL 0x2000ull
#define USED 0x4000ull
#define DATA 0x8000ull
#define MMIO 0xc0000000ull
enum { SIZE = 16 };
#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)

struct fixture {
    struct gmem mem;
    uint8_t *low, *high;
    struct vq *vq;
    int call_fd;
    void *journal;
    uint64_t interrupts;
    unsigned n_descs; /* used up by chain() */
    uint16_t avail_idx;
};

int vq_setup(void **state);
int vq_teardown(void **state);
#define T(f) cmocka_unit_test_setup_teardown(f, vq_setup, vq_teardown)

struct vq *new_vq(struct fixture *f);
void clear(struct fixture *f);
void activate(struct fixture *f, unsigned size, uint64_t features, bool resume);

/* The guest. */
void put_desc(struct fixture *f, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
              uint16_t flags, uint16_t next);
void put16(struct fixture *f, uint64_t at, uint16_t v);
uint16_t get16(struct fixture *f, uint64_t at);
void publish(struct fixture *f, uint16_t head);
/* One readable and one writable buffer. */
void publish_pair(struct fixture *f, unsigned head);
