/* SPDX-License-Identifier: Apache-2.0 */
/* vq.h - split virtqueue, device side (virtio 1.2, section 2.7). Trusts nothing in the ring; safe
 * against a guest that rewrites it concurrently: each descriptor is copied once, the copy is
 * checked, used and never read again. One thread per queue. No allocation after vq_new().
 * All memory barriers of the data path are in vq.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "shm/gmem.h"
#include "shm/inflight.h"
#include "vq_chain.h"

enum {
    VQ_EMPTY = 1,
    VQ_E_GUEST
}; /* positive: caller must handle; after VQ_E_GUEST the queue is
                                      dead until vq_deactivate() */
enum { VQ_MAX_SIZE = 1024 };

struct vq;

struct vq_config {
    struct gmem *mem;
    unsigned index;
    unsigned max_size;
    int kick_fd;           /* not owned */
    int call_fd;           /* not owned */
    void *inflight_region; /* or NULL */
    uint64_t *interrupts;  /* counted up by vq_notify(), or NULL */
};

struct vq_addresses { /* from Activate */
    uint16_t size;
    uint64_t desc, avail, used;
};

int vq_new(struct vq **ret_vq, const struct vq_config *config) must_check;
void vq_free(struct vq *vq);

/* 0 or VQ_E_GUEST (addresses not in RAM, misaligned, bad size). features: negotiated (EVENT_IDX,
 * INDIRECT_DESC are used). resume: take up the journal of a dead worker; the heads come out of
 * vq_pop() first, oldest first, with replayed set. */
int vq_activate(struct vq *vq, const struct vq_addresses *addresses, uint64_t features,
                bool resume) must_check;
void vq_deactivate(struct vq *vq);
bool vq_active(const struct vq *vq);
/* Whether some of its rings lies in this region of guest RAM; then, before that is used again: the queue
 * is as after VQ_E_GUEST. */
bool vq_touches(const struct vq *vq, unsigned region);
void vq_lose_rings(struct vq *vq);

/* 0, VQ_EMPTY or VQ_E_GUEST. Max VQ_MAX_SEGMENTS slices; zero-length descriptors, chains longer
 * than the queue, loops, indirect in indirect, write before read: VQ_E_GUEST. The head is in the
 * journal when this returns. */
enum { VQ_MAX_SEGMENTS = 130 };
int vq_pop(struct vq *vq, struct vq_chain *ret_chain) must_check;
/* Gives the last popped chain back unread (rx buffers too small, throttled). */
void vq_unpop(struct vq *vq, const struct vq_chain *chain);
/* Completes a request: written = bytes put in the writable part. */
void vq_push(struct vq *vq, uint16_t head, uint32_t written);
/* Several chains that the guest has to see at once, as the buffers of one frame (virtio 1.2, 5.1.6.4.1):
 * each is staged, INFLIGHT_MAX_BATCH at most and without a vq_push() between, then one store
 * publishes them all. A worker that dies has completed all of them or none. */
void vq_stage(struct vq *vq, uint16_t head, uint32_t written);
void vq_publish(struct vq *vq);
/* After a batch of vq_push(): interrupts the guest if it asked for it (event index). */
void vq_notify(struct vq *vq);
/* Before sleeping: asks for kicks; true when buffers came meanwhile, so look again. What was popped
 * and given back doesn't count: it was seen, and wasn't enough or can't go on yet. */
bool vq_enable_kicks(struct vq *vq);
void vq_disable_kicks(struct vq *vq);
/* vq_enable_kicks() once after each VQ_EMPTY, else false: the skeleton calls it for every queue
 * before the loop sleeps, so a device need not. */
bool vq_rearm(struct vq *vq);
/* After VQ_EMPTY: whether vq_pop() would find something that it has not seen yet. What was popped and
 * given back doesn't count, as in vq_enable_kicks(). A look at the ring, no more. */
bool vq_has_work(const struct vq *vq);
unsigned vq_inflight(const struct vq *vq);
/* Descriptors of its ring, as the driver chose; while it is active. */
unsigned vq_size(const struct vq *vq);
int vq_kick_fd(const struct vq *vq);
