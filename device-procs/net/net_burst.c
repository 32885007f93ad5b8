/* SPDX-License-Identifier: Apache-2.0 */
/* net_burst.c - frames of the guest that go to a tap by the dozen, with one system call for all: in
 * it the host's stack takes one after the other before anybody whom it wakes has the CPU.
 *
 * Only for taps that never say "full" (no limit to what they have under way), so that each frame is
 * either sent or dropped. A tap takes a frame within the call, so nothing stays in the ring.
 */
#include "net_burst.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "common/uring.h"
#include "common/worker.h"
#include "net_pair.h"

enum {
    BURST_IOVECS = 1024,
    BURST_BYTES = 1 << 20, /* nobody looks at the clock until all are sent */
    FRAME_IOVECS = VQ_MAX_SEGMENTS + 1,
    PATIENCE = 8, /* submissions that took nothing, in a row */
};

struct frame {
    struct net_tx_head head;
    uint16_t chain;
    bool done;
    int error;    /* errno; 0: sent */
    size_t bytes; /* 0: a lie, counted already */
    struct iovec *iov;
    unsigned n_iov; /* 0: nothing to write */
};

struct net_burst {
    struct uring *ring;
    bool broken; /* the ring: from then on a system call for each frame */
    unsigned n_frames, n_iov;
    size_t bytes;
    uint64_t start_ns; /* of the first frame; the others follow at once */
    struct frame frames[NET_BATCH];
    struct iovec iov[BURST_IOVECS];
};

static bool never_full(int tap)
{
    int limit = 0;

    return ioctl(tap, TUNGETSNDBUF, &limit) == 0 && limit == INT_MAX;
}

int net_burst_new(struct net *net)
{
    struct worker_ring *own = worker_own_ring(net->worker);
    int taps[NET_MAX_PAIRS];
    struct net_burst *burst;
    int r;

    for (unsigned p = 0; p < net->n_pairs; p++) {
        taps[p] = net->pairs[p].tap.fd;
        if (!never_full(taps[p]))
            return 0;
    }
    burst = calloc(1, sizeof(*burst));
    if (!burst)
        return err_origin(-ENOMEM, "net burst");
    r = own->fd < 0 ? err_origin(-own->error, "io_uring")
                    : uring_new(&burst->ring, fd_take(&own->fd), &own->params, taps, net->n_pairs);
    if (r < 0 || !burst->ring) {
        log_warn("no io_uring here (%s): a system call for each frame", err_text());
        free(burst);
        return 0;
    }
    worker_keep_fd(net->worker, uring_fd(burst->ring));
    net->burst = burst;
    return 0;
}

bool net_burst_has_room(const struct net_burst *burst)
{
    return burst->n_frames < NET_BATCH && burst->bytes < BURST_BYTES &&
           BURST_IOVECS - burst->n_iov >= FRAME_IOVECS;
}

void net_burst_add(struct net_burst *burst, const struct vq_chain *chain,
                   const struct net_tx_head *head)
{
    struct frame *frame = &burst->frames[burst->n_frames];
    struct iovec *iov = burst->iov + burst->n_iov;
    int n;

    if (burst->n_frames++ == 0)
        burst->start_ns = now_ns();
    *frame = (struct frame){ .chain = chain->head, .iov = iov };
    if (!head)
        return;
    frame->head = *head;
    frame->bytes = (size_t)chain->read_bytes - NET_HDR_BYTES;
    iov[0] = (struct iovec){ .iov_base = &frame->head, .iov_len = NET_HDR_BYTES + head->bytes };
    n = vq_chain_iovec(chain, false, NET_HDR_BYTES + head->bytes, frame->bytes - head->bytes,
                       iov + 1, FRAME_IOVECS - 1);
    if (n < 0)
        return;
    frame->n_iov = (unsigned)n + 1;
    burst->n_iov += frame->n_iov;
    burst->bytes += frame->bytes;
}

static unsigned reap(struct net_burst *burst)
{
    unsigned n = 0;
    void *user;
    int res;

    for (; uring_reap(burst->ring, &user, &res); n++) {
        struct frame *frame = user;

        frame->error = res < 0 ? -res : 0;
        frame->done = true;
    }
    return n;
}

static int write_many(struct net_burst *burst, const struct net_pair *pair, unsigned n)
{
    unsigned idle = 0;

    for (unsigned i = 0; i < burst->n_frames; i++) {
        struct frame *frame = &burst->frames[i];

        if (frame->n_iov > 0 &&
            !uring_rw(burst->ring, pair->index, true, frame->iov, frame->n_iov, 0, 0, frame))
            return err_origin(-ENOSPC, "the io_uring is full");
    }
    while (n > 0 && idle < PATIENCE) {
        int r = uring_submit_and_wait(burst->ring, n);
        unsigned done = reap(burst);

        if (r < 0 && r != -EAGAIN)
            return err_trace(r);
        idle = done == 0 ? idle + 1 : 0;
        n -= done;
    }
    return n == 0 ? 0 : err_origin(-EAGAIN, "the io_uring takes nothing");
}

static void write_all(struct net_burst *burst, const struct net_pair *pair)
{
    unsigned n = 0;

    for (unsigned i = 0; i < burst->n_frames; i++)
        n += burst->frames[i].n_iov > 0;
    /* What a broken ring still holds is never submitted. */
    if (n > 1 && !burst->broken && write_many(burst, pair, n) < 0) {
        burst->broken = true;
        log_warn("%s: a system call for each frame from now on", err_text());
    }
    for (unsigned i = 0; i < burst->n_frames; i++) {
        struct frame *frame = &burst->frames[i];

        if (frame->n_iov > 0 && !frame->done)
            frame->error = writev(pair->tap.fd, frame->iov, (int)frame->n_iov) < 0 ? errno : 0;
    }
}

int net_burst_send(struct net_pair *pair)
{
    struct net_burst *burst = pair->net->burst;
    uint64_t sent_before = pair->net->stats->write_ops;
    int error = 0;

    write_all(burst, pair);
    for (unsigned i = 0; i < burst->n_frames; i++) {
        const struct frame *frame = &burst->frames[i];

        if (frame->bytes > 0)
            net_pair_count(pair, frame->n_iov > 0 && frame->error == 0, frame->bytes);
        if (frame->error != 0)
            error = frame->error;
        vq_stage(net_txq(pair), frame->chain, 0);
    }
    (void)net_pair_took(pair, sent_before, burst->start_ns);
    vq_publish(net_txq(pair));
    burst->n_frames = burst->n_iov = 0;
    burst->bytes = 0;
    return error != 0 ? net_pair_failed(pair, error) : 0;
}
