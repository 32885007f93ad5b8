/* SPDX-License-Identifier: Apache-2.0 */
/* rng.c - the entropy worker: virtio-rng (virtio 1.2, section 5.4) from getrandom(2) and nothing
 * else. Bytes go through a private buffer: the kernel never writes guest RAM for this device. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/random.h>
#include "base/err.h"
#include "sandbox/gen/filter_rng.h"
#include "worker.h"
#include "worker_main.h"
#include "worker_stop.h"

/* getrandom() of 256 bytes is never interrupted nor short. One request gets at most MAX_BYTES: the
 * driver asks again when it wants more, and a huge buffer can't hold up the loop. */
enum { CHUNK_BYTES = 256, MAX_BYTES = 4096, BATCH = 16 };

struct rng {
    struct worker *worker;
    struct stats_page *stats;
};

/* Fills the writable part; bytes written, or a negative errno. */
static int64_t fill(const struct vq_chain *chain)
{
    uint64_t want = MIN(chain->write_bytes, (uint64_t)MAX_BYTES);
    uint8_t buf[CHUNK_BYTES];
    uint64_t done = 0;

    while (done < want) {
        size_t n = (size_t)MIN(want - done, (uint64_t)sizeof buf);
        ssize_t got = getrandom(buf, n, 0);

        if (got < 0 && errno != EINTR)
            return err_origin(-errno, "getrandom");
        if (got > 0)
            done += vq_chain_write(chain, (size_t)done, buf, (size_t)got);
    }
    explicit_bzero(buf, sizeof buf);
    return (int64_t)done;
}

static int on_queue(void *device, unsigned q)
{
    struct rng *rng = device;
    struct vq *vq = worker_vq(rng->worker, q);
    uint64_t since = now_ns();
    int r = 0;

    for (unsigned n = 0; r == 0; n++) {
        struct vq_chain chain;
        int64_t written;
        uint64_t now;

        if (n == BATCH) {
            worker_rerun(rng->worker, q);
            break;
        }
        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        if (chain.n_read > 0 || chain.n_write == 0) {
            r = VQ_E_GUEST; /* buffers are the device's to write, virtio 1.2, 5.4.6.1 */
            break;          /* what was filled before is told all the same */
        }
        written = fill(&chain);
        if (written < 0)
            return (int)written;
        now = now_ns();
        stats_count_latency(rng->stats, now - since, 1);
        since = now;
        rng->stats->read_ops++;
        rng->stats->read_bytes += (uint64_t)written;
        vq_push(vq, chain.head, (uint32_t)written);
    }
    vq_notify(vq);
    return r == VQ_EMPTY ? 0 : r;
}

static int activate(void *device, uint64_t features, bool resume)
{
    (void)device;
    (void)features;
    (void)resume;
    return 0;
}

static void drain(void *device)
{
    struct rng *rng = device;

    worker_drained(rng->worker); /* nothing outlives on_queue() */
}

static int setup(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                 Bulkhead__Announce *announce, void **ret_device)
{
    static struct rng the_rng; /* one per process */

    (void)fds;
    if (n_fds != 0 || cfg->num_queues != 1)
        return err_origin(-EPROTO, "configure with %u queues, %u descriptors", cfg->num_queues,
                          n_fds);
    the_rng = (struct rng){ .worker = w, .stats = worker_stats(w) };
    announce->virtio_id = VIRTIO_ID_RNG;
    announce->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                         1ull << VIRTIO_RING_F_INDIRECT_DESC;
    announce->num_queues = 1;
    announce->queue_size = cfg->queue_size;
    *ret_device = &the_rng;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct worker_ops ops = {
        .role = BULKHEAD__ROLE__ROLE_RNG,
        .filter = &sandbox_filter_rng,
        .setup = setup,
        .activate = activate,
        .on_queue = on_queue,
        .drain = drain,
    };

    return worker_main(&ops, argc, argv);
}
