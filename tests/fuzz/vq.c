/* SPDX-License-Identifier: Apache-2.0 */
/* vq.c - fuzz target: a virtqueue over hostile memory.
 *
 * Input: queue size, features, then operations of one byte until a zero, then guest memory. Guest RAM is
 * two regions that follow each other and one far above; what the queue or its user writes must be in
 * the dirty log. */
#include "vq.h"
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIRST_BYTES = 12288, LOW_BYTES = 16384, HIGH_BYTES = 256, PAGE = 4096 };
#define HIGH_BASE 0x100000000ull

/* Of the pages that there are. */
static uint64_t dirty[HIGH_BASE / PAGE / 64 + 1];

struct run {
    struct gmem mem;
    struct vq *vq;
    uint8_t *low, *high;
    struct vq_addresses addresses;
    uint64_t features;
    uint16_t inflight[256];
    unsigned n_inflight;
    struct vq_chain last;
    int last_valid;
};

/* Every byte that a chain names must be ours. */
static void touch(const struct vq_chain *chain)
{
    uint8_t buf[512];
    struct iovec iov[VQ_MAX_SEGMENTS];

    for (size_t off = 0; off < chain->read_bytes; off += sizeof buf)
        if (vq_chain_read(chain, off, buf, sizeof buf) == 0)
            abort();
    memset(buf, 0x5a, sizeof buf);
    for (size_t off = 0; off < chain->write_bytes; off += sizeof buf)
        if (vq_chain_write(chain, off, buf, sizeof buf) == 0)
            abort();
    if (vq_chain_iovec(chain, true, 0, chain->write_bytes, iov, VQ_MAX_SEGMENTS) !=
        (int)chain->n_write)
        abort();
}

static void pop(struct run *run)
{
    int r;

    if (run->n_inflight == 256)
        return;
    r = vq_pop(run->vq, &run->last);
    run->last_valid = r == 0;
    if (r != 0)
        return;
    if (run->last.n_read + run->last.n_write > VQ_MAX_SEGMENTS)
        abort();
    touch(&run->last);
    run->inflight[run->n_inflight++] = run->last.head;
}

static void activate(struct run *run, bool resume)
{
    vq_deactivate(run->vq);
    run->n_inflight = 0;
    run->last_valid = 0;
    if (vq_activate(run->vq, &run->addresses, run->features, resume) != 0)
        abort();
}

static void operation(struct run *run, uint8_t op)
{
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        pop(run);
        break;
    case 3:
    case 4:
        if (run->n_inflight > 0) {
            unsigned i = op / 8 % run->n_inflight;

            vq_push(run->vq, run->inflight[i], op);
            run->inflight[i] = run->inflight[--run->n_inflight];
            run->last_valid = 0;
        }
        break;
    case 5:
        if (run->last_valid) {
            vq_unpop(run->vq, &run->last);
            run->n_inflight--;
            run->last_valid = 0;
        }
        break;
    case 6:
        if (op >= 248 && run->n_inflight == 0 && vq_touches(run->vq, 0))
            vq_lose_rings(run->vq); /* their region went */
        vq_notify(run->vq);
        (void)vq_rearm(run->vq);
        vq_disable_kicks(run->vq);
        break;
    default:
        activate(run, op & 8);
        break;
    }
    if (vq_inflight(run->vq) != run->n_inflight)
        abort();
}

static uint8_t *exactly(size_t n)
{
    void *p = NULL;

    if (posix_memalign(&p, 64, n) != 0)
        abort();
    memset(p, 0, n);
    return p;
}

static int marked(uint64_t at)
{
    return dirty[at / PAGE / 64] >> at / PAGE % 64 & 1;
}

static void start_log(struct run *run)
{
    dirty[0] = dirty[HIGH_BASE / PAGE / 64] = 0;
    gmem_set_log_for_test(&run->mem, dirty);
}

/* before: of low RAM, as the guest left it. */
static void check_log(const struct run *run, const uint8_t *before)
{
    for (size_t i = 0; i < LOW_BYTES; i++)
        if (run->low[i] != before[i] && !marked(i))
            abort();
    for (size_t i = 0; i < HIGH_BYTES; i++)
        if (run->high[i] != 0 && !marked(HIGH_BASE + i))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t before[LOW_BYTES];
    static _Alignas(64) uint8_t journal[8192];
    struct run run = { 0 };
    struct vq_config config = {
        .mem = &run.mem, .max_size = 64, .kick_fd = -1, .call_fd = -1, .inflight_region = journal
    };
    const uint8_t *ops;
    size_t n_ops = 0;

    if (size < 3 || inflight_region_bytes(256) > sizeof journal)
        return 0;
    memset(journal, 0, sizeof journal);
    run.low = exactly(LOW_BYTES);
    run.high = exactly(HIGH_BYTES);
    gmem_init_for_test(&run.mem, 0, run.low, FIRST_BYTES);
    gmem_add_for_test(&run.mem, FIRST_BYTES, run.low + FIRST_BYTES, LOW_BYTES - FIRST_BYTES);
    gmem_add_for_test(&run.mem, HIGH_BASE, run.high, HIGH_BYTES);
    run.addresses = (struct vq_addresses){
        .size = (uint16_t)(1u << data[0] % 7), .desc = 0, .avail = 4096, .used = 8192
    };
    run.features = (uint64_t)data[1] << VIRTIO_RING_F_INDIRECT_DESC;
    ops = data + 2;
    while (n_ops < size - 2 && ops[n_ops] != 0)
        n_ops++;
    if (n_ops < size - 2)
        memcpy(run.low, ops + n_ops + 1, MIN(size - 2 - n_ops - 1, (size_t)LOW_BYTES));
    memcpy(before, run.low, LOW_BYTES);
    start_log(&run);
    if (vq_new(&run.vq, &config) < 0)
        abort();
    activate(&run, false);
    for (size_t i = 0; i < n_ops; i++)
        operation(&run, ops[i]);
    check_log(&run, before);
    vq_free(run.vq);
    free(run.low);
    free(run.high);
    return 0;
}
