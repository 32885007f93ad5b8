/* SPDX-License-Identifier: Apache-2.0 */
/* vcon.c - virtio-console (virtio 1.2 section 5.3), one port, no control queues.
 *
 * A Linux driver spins until its bytes are taken, so the transmit queue is always emptied at
 * once: what the host's side doesn't take goes to a buffer that drops its oldest bytes.
 */
#include "vcon.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include "base/err.h"
#include "common/fifo.h"
#include "common/worker.h"
#include "console_input.h"

enum { RXQ = 0, TXQ = 1, BUFFER_BYTES = 65536, RX_BATCH = 256 };

struct vcon {
    struct console *console;
    struct virtio_console_config config;
    size_t tx_done; /* bytes of the first request in the transmit queue, sent in turns before */
    struct fifo out, in;
    uint8_t out_data[BUFFER_BYTES], in_data[BUFFER_BYTES];
    uint8_t scratch[CONSOLE_CHUNK_BYTES];
};

static void flush_out(struct vcon *v)
{
    const uint8_t *data;
    size_t len, done;

    while ((len = fifo_peek(&v->out, &data)) > 0) {
        done = backend_write(v->console->backend, data, len);
        fifo_consume(&v->out, done);
        v->console->stats->write_bytes += done;
        if (done < len)
            return;
    }
}

static void send_out(struct vcon *v, const uint8_t *src, size_t len)
{
    size_t done = 0;

    if (v->out.len_bytes == 0) {
        done = backend_write(v->console->backend, src, len);
        v->console->stats->write_bytes += done;
    }
    v->console->stats->dropped += fifo_put(&v->out, src + done, len - done);
}

/* False: the turn is over before the request is. */
static bool send_chain(struct vcon *v, const struct vq_chain *chain)
{
    struct turn *turn = worker_turn(v->console->worker);
    size_t len;

    while (v->tx_done < chain->read_bytes) {
        len = vq_chain_read(chain, v->tx_done, v->scratch, sizeof(v->scratch));
        if (len == 0)
            break;
        send_out(v, v->scratch, len);
        v->tx_done += len;
        turn_spend(turn, len);
        if (turn_over(turn) && v->tx_done < chain->read_bytes)
            return false;
    }
    v->tx_done = 0;
    return true;
}

/* So many requests at most, and none after the turn: 0 when there may be more, else what vq_pop()
 * says. */
static int send_requests(struct vcon *v, unsigned max)
{
    struct vq *vq = worker_vq(v->console->worker, TXQ);
    struct vq_chain chain;
    int r;

    for (unsigned i = 0; i < max && !turn_over(worker_turn(v->console->worker)); i++) {
        r = vq_pop(vq, &chain);
        if (r != 0)
            return r;
        if (!send_chain(v, &chain)) {
            vq_unpop(vq, &chain); /* nothing is in flight between turns */
            break;
        }
        vq_push(vq, chain.head, 0);
        v->console->stats->write_ops++;
    }
    return 0;
}

static int on_tx(struct vcon *v)
{
    int r = send_requests(v, CONSOLE_CHUNKS_PER_TURN);

    if (r == 0)
        worker_rerun(v->console->worker, TXQ);
    return r == VQ_EMPTY ? 0 : r;
}

void vcon_drain(void *front)
{
    struct vcon *v = front;
    struct vq *vq = worker_vq(v->console->worker, TXQ);

    if (!vq_active(vq))
        return;
    (void)send_requests(v, vq_size(vq));
    vq_notify(vq);
}

/* Moves buffered input to the guest. What is left after a turn goes with the next one: buffers
 * without room for a single byte can come without end. */
static int flush_in(struct vcon *v)
{
    struct worker *w = v->console->worker;
    struct vq *vq = worker_vq(w, RXQ);
    struct vq_chain chain;
    const uint8_t *data;
    size_t len, done, put;
    int r;

    for (int i = 0; v->in.len_bytes > 0 && worker_running(w); i++) {
        if (i == RX_BATCH || turn_over(worker_turn(w))) {
            worker_rerun(w, RXQ);
            break;
        }
        r = vq_pop(vq, &chain);
        if (r == VQ_EMPTY && vq_rearm(vq))
            continue;
        if (r != 0)
            return r == VQ_EMPTY ? 0 : r;
        done = 0;
        while (done < chain.write_bytes && (len = fifo_peek(&v->in, &data)) > 0) {
            put = vq_chain_write(&chain, done, data, MIN(len, chain.write_bytes - done));
            if (put == 0)
                break;
            fifo_consume(&v->in, put);
            done += put;
        }
        vq_push(vq, chain.head, (uint32_t)done);
        v->console->stats->read_ops++;
    }
    return 0;
}

static int on_rx(struct vcon *v)
{
    int r = flush_in(v);

    if (r == 0 && console_input_pump(v->console))
        backend_input_resume(v->console->backend);
    return r;
}

int vcon_on_queue(void *front, unsigned q)
{
    struct vcon *v = front;
    int r = q == TXQ ? on_tx(v) : on_rx(v);

    vq_notify(worker_vq(v->console->worker, q)); /* of what was done before a ring broke, too */
    return r;
}

int vcon_activate(void *front, uint64_t features, bool resume)
{
    struct vcon *v = front;

    (void)features;
    (void)resume;
    worker_rerun(v->console->worker, RXQ);
    worker_rerun(v->console->worker, TXQ);
    return 0;
}

void vcon_reset(void *front)
{
    struct vcon *v = front;

    v->tx_done = 0;
    fifo_consume(&v->in, v->in.len_bytes); /* keys typed for the driver that left */
}

static void on_writable(void *front)
{
    flush_out(front);
}

static bool owes(void *front)
{
    struct vcon *v = front;

    return v->out.len_bytes > 0;
}

static size_t room(void *front)
{
    struct vcon *v = front;

    return fifo_room(&v->in);
}

static void input(void *front, const uint8_t *src, size_t len)
{
    struct vcon *v = front;
    struct worker *w = v->console->worker;
    size_t fits = MIN(len, fifo_room(&v->in));
    int r;

    (void)fifo_put(&v->in, src, fits);
    v->console->stats->dropped += len - fits;
    if (!worker_running(w))
        return;
    r = flush_in(v);
    vq_notify(worker_vq(w, RXQ)); /* of what was done before a ring broke, too */
    if (r == VQ_E_GUEST)
        worker_needs_reset(w, RXQ, "console receive queue");
}

static void wait_for_room(void *front)
{
    (void)front; /* the driver's next buffer is the sign */
}

static const struct console_front vcon_front = {
    .on_writable = on_writable,
    .owes = owes,
    .room = room,
    .input = input,
    .wait_for_room = wait_for_room,
};

int vcon_new(struct console *console, Bulkhead__Announce *announce)
{
    struct vcon *v = calloc(1, sizeof(*v));
    uint16_t cols = 0, rows = 0;

    if (!v)
        return err_origin(-ENOMEM, "virtio-console");
    v->console = console;
    fifo_init(&v->out, v->out_data, sizeof(v->out_data));
    fifo_init(&v->in, v->in_data, sizeof(v->in_data));
    announce->virtio_id = VIRTIO_ID_CONSOLE;
    announce->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                         1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_CONSOLE_F_SIZE;
    /* 0 by 0 where there is none, which is what a driver has that isn't told. A terminal may have one now and none
     * when a successor asks it, who must offer as much. */
    (void)backend_size(console->backend, &cols, &rows);
    v->config.cols = cols;
    v->config.rows = rows;
    v->config.max_nr_ports = 1;
    announce->config.data = (uint8_t *)&v->config;
    announce->config.len = sizeof(v->config);
    console->front = &vcon_front;
    console->front_data = v;
    return 0;
}
