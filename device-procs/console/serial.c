/* SPDX-License-Identifier: Apache-2.0 */
/* serial.c - the serial port's bytes, through two rings in shared memory.
 *
 * Output stays in the ring until it is out, so a successor of this process goes on where it
 * stopped. While nobody takes it, the oldest bytes move from the ring to a spill buffer, and from
 * there into the void: together they keep the newest 64 KiB, and the core never finds the ring
 * full for long.
 */
#include "serial.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/err.h"
#include "base/fd.h"
#include "common/fifo.h"
#include "common/worker.h"
#include "console_input.h"
#include "shm/byte_ring.h"

enum {
    KEEP_IN_RING_BYTES = 48 * 1024,
    SPILL_BYTES = BYTE_RING_DATA_BYTES - KEEP_IN_RING_BYTES,
    INPUT_RETRY_MS = 10,
};

struct serial {
    struct console *console;
    struct byte_ring out, in; /* from and to the guest */
    int kick_fd, call_fd;
    struct loop_event *kick_event;
    struct loop_event *retry; /* the guest has not read its input yet */
    struct fifo spill;
    uint8_t spill_data[SPILL_BYTES];
    uint8_t scratch[BYTE_RING_DATA_BYTES];
};

/* Nobody takes the output: make room in the ring. */
static void shed(struct serial *s)
{
    size_t used = byte_ring_peek(&s->out, s->scratch, sizeof(s->scratch));

    if (used <= KEEP_IN_RING_BYTES)
        return;
    used -= KEEP_IN_RING_BYTES;
    s->console->stats->dropped += fifo_put(&s->spill, s->scratch, used);
    byte_ring_consume(&s->out, used);
}

static bool flush_spill(struct serial *s)
{
    const uint8_t *data;
    size_t len, done;

    while ((len = fifo_peek(&s->spill, &data)) > 0) {
        done = backend_write(s->console->backend, data, len);
        fifo_consume(&s->spill, done);
        s->console->stats->write_bytes += done;
        if (done < len)
            return false;
    }
    return true;
}

static void pump_output(struct serial *s)
{
    size_t len, done;

    if (!flush_spill(s)) {
        shed(s);
        return;
    }
    for (int i = 0; i < CONSOLE_CHUNKS_PER_TURN; i++) {
        if (i > 0 && turn_over(worker_turn(s->console->worker)))
            break;
        len = byte_ring_peek(&s->out, s->scratch, CONSOLE_CHUNK_BYTES);
        if (len == 0)
            return;
        done = backend_write(s->console->backend, s->scratch, len);
        byte_ring_consume(&s->out, done);
        s->console->stats->write_bytes += done;
        if (done < len) {
            shed(s);
            return;
        }
    }
    backend_yield(s->console->backend); /* a guest that never stops must not starve the keys */
}

static void on_kick(int fd, unsigned what, void *arg)
{
    struct serial *s = arg;

    (void)what;
    (void)fd_event_drain(fd);
    s->console->stats->kicks++;
    pump_output(s);
}

static void on_writable(void *front)
{
    pump_output(front);
}

static bool owes(void *front)
{
    struct serial *s = front;

    return s->spill.len_bytes > 0 || byte_ring_peek(&s->out, s->scratch, 1) > 0;
}

static size_t room(void *front)
{
    struct serial *s = front;

    return byte_ring_room(&s->in);
}

static void input(void *front, const uint8_t *src, size_t len)
{
    struct serial *s = front;
    size_t done = byte_ring_put(&s->in, src, len);

    if (done < len) {
        byte_ring_drop(&s->in, len - done);
        s->console->stats->dropped += len - done;
    }
    if (done > 0) {
        fd_event_signal(s->call_fd);
        s->console->stats->interrupts++;
    }
}

static void on_retry(int fd, unsigned what, void *arg)
{
    struct serial *s = arg;

    (void)fd;
    (void)what;
    if (console_input_pump(s->console))
        backend_input_resume(s->console->backend);
    else
        (void)loop_timer_arm(s->retry, INPUT_RETRY_MS, false);
}

static void wait_for_room(void *front)
{
    struct serial *s = front;

    (void)loop_timer_arm(s->retry, INPUT_RETRY_MS, false);
}

static const struct console_front serial_front = {
    .on_writable = on_writable,
    .owes = owes,
    .room = room,
    .input = input,
    .wait_for_room = wait_for_room,
};

int serial_new(struct console *console, int *fds)
{
    struct worker *w = console->worker;
    struct serial *s;
    void *shared;
    int r;

    if ((r = fd_expect(fds[0], FD_TYPE_MEMFD, "serial ring")) < 0 ||
        (r = fd_expect(fds[1], FD_TYPE_EVENTFD, "serial kick")) < 0 ||
        (r = fd_expect(fds[2], FD_TYPE_EVENTFD, "serial call")) < 0)
        return err_trace(r);
    shared =
        mmap(NULL, sizeof(struct serial_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (shared == MAP_FAILED)
        return err_origin(-errno, "serial ring");
    s = calloc(1, sizeof(*s));
    if (!s)
        return err_origin(-ENOMEM, "serial");
    s->console = console;
    byte_ring_attach_consumer(&s->out, &((struct serial_shared *)shared)->to_worker);
    byte_ring_attach_producer(&s->in, &((struct serial_shared *)shared)->to_guest);
    fifo_init(&s->spill, s->spill_data, sizeof(s->spill_data));
    s->kick_fd = fd_take(&fds[1]);
    s->call_fd = fd_take(&fds[2]);
    worker_keep_fd(w, s->kick_fd);
    worker_keep_fd(w, s->call_fd);
    console->front = &serial_front;
    console->front_data = s;
    r = loop_add_fd(worker_loop(w), s->kick_fd, LOOP_READ, on_kick, s, &s->kick_event);
    if (r == 0)
        r = loop_add_timer(worker_loop(w), on_retry, s, &s->retry);
    if (r < 0)
        return err_trace(r);
    return 0;
}
