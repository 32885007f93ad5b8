/* SPDX-License-Identifier: Apache-2.0 */
/* vq_chain.h - a request as vq_pop() gives it, and copies between it and private memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shm/gmem.h"

/* A request: readable slices first, then writable ones, as the guest chained them. */
struct vq_chain {
    uint16_t head;
    unsigned n_read, n_write; /* slices */
    unsigned n_descs;         /* of the ring's own that it takes up; 1 with an indirect table */
    uint64_t read_bytes, write_bytes;
    struct gslice *slices; /* n_read then n_write; owned by the vq, valid until vq_push(head) */
    bool replayed;         /* from the journal of a dead worker */
};

/* Copies between a chain's readable or writable bytes and a private buffer: returns bytes copied. */
size_t vq_chain_read(const struct vq_chain *chain, size_t off, void *dst, size_t len);
size_t vq_chain_write(const struct vq_chain *chain, size_t off, const void *src, size_t len);
/* iovecs over [off, off+len) of the readable (write=false) or writable part; returns their number,
 * or -1 when max is too small or the range is not inside. */
int vq_chain_iovec(const struct vq_chain *chain, bool write, size_t off, size_t len,
                   struct iovec *ret_iov, int max);
