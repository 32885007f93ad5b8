/* SPDX-License-Identifier: Apache-2.0 */
/* vq_fixture.c - see vq_fixture.h. */
#include "vq_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t *guarded(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + 4096, bytes, PROT_READ | PROT_WRITE), 0);
    return p + 4096;
}

void clear(struct fixture *f)
{
    memset(f->low, 0, LOW_BYTES);
    f->n_descs = 0;
    f->avail_idx = 0;
}

void activate(struct fixture *f, unsigned size, uint64_t features, bool resume)
{
    struct vq_addresses a = { .size = (uint16_t)size, .desc = DESC, .avail = AVAIL, .used = USED };

    vq_deactivate(f->vq);
    assert_int_equal(vq_activate(f->vq, &a, features, resume), 0);
}

struct vq *new_vq(struct fixture *f)
{
    struct vq_config config = { .mem = &f->mem,
                                .max_size = 256,
                                .kick_fd = -1,
                                .call_fd = f->call_fd,
                                .inflight_region = f->journal,
                                .interrupts = &f->interrupts };
    struct vq *vq = NULL;

    assert_int_equal(vq_new(&vq, &config), 0);
    return vq;
}

int vq_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->low = guarded(LOW_BYTES);
    f->high = guarded(HIGH_BYTES);
    gmem_init_for_test(&f->mem, 0, f->low, LOW_BYTES);
    gmem_add_for_test(&f->mem, HIGH_BASE, f->high, HIGH_BYTES);
    f->call_fd = eventfd(0, EFD_CLOEXEC);
    f->journal = calloc(1, inflight_region_bytes(256));
    f->vq = new_vq(f);
    *state = f;
    return 0;
}

int vq_teardown(void **state)
{
    struct fixture *f = *state;

    vq_free(f->vq);
    close(f->call_fd);
    munmap(f->low - 4096, LOW_BYTES + 8192);
    munmap(f->high - 4096, HIGH_BYTES + 8192);
    free(f->journal);
    free(f);
    return 0;
}

/* ---- the guest ---- */

void put_desc(struct fixture *f, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
              uint16_t flags, uint16_t next)
{
    struct vring_desc d = { .addr = addr, .len = len, .flags = flags, .next = next };

    memcpy(f->low + table + i * sizeof d, &d, sizeof d);
}

void put16(struct fixture *f, uint64_t at, uint16_t v)
{
    memcpy(f->low + at, &v, 2);
}

uint16_t get16(struct fixture *f, uint64_t at)
{
    uint16_t v;

    memcpy(&v, f->low + at, 2);
    return v;
}

void publish(struct fixture *f, uint16_t head)
{
    put16(f, AVAIL + 4 + 2 * (f->avail_idx % SIZE), head);
    f->avail_idx++;
    put16(f, AVAIL + 2, f->avail_idx);
}

void publish_pair(struct fixture *f, unsigned head)
{
    put_desc(f, DESC, head, DATA, 16, VRING_DESC_F_NEXT, (uint16_t)(head + 1));
    put_desc(f, DESC, head + 1, DATA + 0x1000, 512, VRING_DESC_F_WRITE, 0);
    publish(f, (uint16_t)head);
}
