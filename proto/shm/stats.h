/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - one page that a worker writes and the broker (and `bulkhead top`) reads.
 * All counters only grow; readers tolerate any content. */
#pragma once

#include <stdint.h>

enum { STATS_MAGIC = 0x42485354, STATS_VERSION = 1, STATS_LATENCY_BUCKETS = 32, STATS_QUEUES = 16 };

struct stats_page {
    uint32_t magic;
    uint32_t version;
    /* Grows at least every 250 ms while the loop turns; a disk's also with each answer, as the host
     * may hold up the loop at each request. */
    uint64_t heartbeat;
    uint64_t oldest_start_ns; /* CLOCK_MONOTONIC of the oldest request in flight, 0: none */
    uint64_t inflight;
    uint64_t read_ops, read_bytes, write_ops, write_bytes; /* blk; net, vsock: rx, tx */
    uint64_t flush_ops, discard_ops;
    uint64_t errors;       /* requests answered with an error */
    uint64_t dropped;      /* frames or bytes dropped */
    uint64_t guest_faults; /* rings broken by the guest */
    uint64_t kicks, interrupts, throttled;
    uint64_t connections;                       /* vsock: opened so far */
    uint64_t balloon_bytes;                     /* balloon: given back at present */
    uint64_t latency_ns[STATS_LATENCY_BUCKETS]; /* bucket i: < 2^i us */
    uint64_t guest_stats[16];                   /* balloon: the driver's own figures */
    /* net: the socket (its inode) that may have a part of a frame whose rest is in its writer's
     * memory alone; 0: none. For the replacement: nothing can follow on that stream. */
    uint64_t cut_stream;
    /* Activate.activation of the rings that the journal is about: stored before they are touched. */
    uint64_t activation;
};

/* n requests that took so long, each from when it was taken off the ring until it was given back. */
static inline void stats_count_latency(struct stats_page *stats, uint64_t took_ns, uint64_t n)
{
    uint64_t us = took_ns / 1000;
    unsigned bucket = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);

    stats->latency_ns[bucket < STATS_LATENCY_BUCKETS ? bucket : STATS_LATENCY_BUCKETS - 1] += n;
}
