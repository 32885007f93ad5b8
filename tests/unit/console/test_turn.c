/* SPDX-License-Identifier: Apache-2.0 */
/* test_turn.c - how much of a console's output and input is moved before the loop looks at its other events; by a
 * clock of the test's own. The guest has more whenever something was taken, and the host's side is slow. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/loop.h"
#include "common/worker_say.h"
#include "console_device.h"
#include "console_input.h"
#include "serial.h"
#include "shm/byte_ring.h"
#include "vcon.h"
#include "vq_fixture.h"

enum {
    STEP_NS = 5000000,
    STEPS_PER_TURN = TURN_NS / STEP_NS + 1, /* the clock starts after the first one */
    ENDLESS = 1000,
};

static struct fixture *guest;
static struct loop *loop;
static struct console console;
static struct stats_page stats;
static struct turn turn;
static uint64_t clock_ns, cost_ns;
static unsigned n_steps;
static size_t piece_bytes;
static struct byte_ring port; /* the guest's end of the serial port */
static bool port_refills, queue_refills;
static unsigned n_reruns;

static void step(void)
{
    clock_ns += cost_ns;
    if (++n_steps > ENDLESS)
        fail_msg("a turn without end");
}

/* ---- clock, host, skeleton ---- */

uint64_t __wrap_now_ns(void);
ssize_t __wrap_write(int fd, const void *src, size_t len);
void __real_vq_push(struct vq *vq, uint16_t head, uint32_t written_bytes);
void __wrap_vq_push(struct vq *vq, uint16_t head, uint32_t written_bytes);

uint64_t __wrap_now_ns(void)
{
    return clock_ns;
}

ssize_t __wrap_write(int fd, const void *src, size_t len)
{
    static const uint8_t text[CONSOLE_CHUNK_BYTES];

    (void)fd;
    (void)src;
    step();
    if (port_refills)
        (void)byte_ring_put(&port, text, sizeof text);
    return (ssize_t)(len < piece_bytes ? len : piece_bytes);
}

void __wrap_vq_push(struct vq *vq, uint16_t head, uint32_t written_bytes)
{
    step();
    __real_vq_push(vq, head, written_bytes);
    if (queue_refills)
        publish(guest, head);
}

struct vq *worker_vq(struct worker *w, unsigned q)
{
    (void)w;
    (void)q;
    return guest->vq;
}

struct turn *worker_turn(struct worker *w)
{
    (void)w;
    return &turn;
}

bool worker_running(const struct worker *w)
{
    (void)w;
    return true;
}

void worker_rerun(struct worker *w, unsigned q)
{
    (void)w;
    (void)q;
    n_reruns++;
}

void worker_needs_reset(struct worker *w, unsigned q, const char *why)
{
    (void)w;
    (void)q;
    fail_msg("%s", why);
}

void worker_say_more(struct worker *w)
{
    (void)w;
}

struct loop *worker_loop(struct worker *w)
{
    (void)w;
    return loop;
}

void worker_keep_fd(struct worker *w, int fd)
{
    (void)w;
    (void)fd;
}

/* ---- the console ---- */

static void on_writable(void *arg)
{
    (void)arg;
}

static void on_input(void *arg)
{
    (void)arg;
}

/* Neither end can be watched, so both are used at once, and neither ever ends. */
static void make_backend(bool reads)
{
    const struct backend_config config = {
        .mode = BULKHEAD__CONSOLE_MODE__CONSOLE_TTY,
        .in_fd = reads ? open("/dev/zero", O_RDONLY | O_CLOEXEC) : -1,
        .out_fd = open("/dev/null", O_WRONLY | O_CLOEXEC),
        .client_fd = -1,
        .loop = loop,
        .stats = &stats,
        .turn = &turn,
        .on_writable = on_writable,
        .on_input = on_input,
    };

    assert_int_equal(backend_new(&console.backend, &config), 0);
}

static int setup(void **state)
{
    int r = vq_setup(state);

    guest = *state;
    stats = (struct stats_page){ 0 };
    console = (struct console){ .stats = &stats };
    assert_int_equal(loop_new(&loop), 0);
    make_backend(true);
    activate(guest, SIZE, 0, false);
    clock_ns = 1;
    cost_ns = STEP_NS;
    piece_bytes = SIZE_MAX;
    port_refills = queue_refills = false;
    n_steps = n_reruns = 0;
    turn_begin(&turn);
    return r;
}

static int teardown(void **state)
{
    backend_free(console.backend);
    loop_free(loop);
    return vq_teardown(state);
}

#define C(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- the serial port's output ---- */

static struct serial_shared *make_serial(int fds[3])
{
    struct serial_shared *shared;

    fds[0] = memfd_create("serial", MFD_CLOEXEC);
    fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[2] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(ftruncate(fds[0], sizeof *shared), 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    assert_true(shared != MAP_FAILED);
    byte_ring_attach_producer(&port, &shared->to_worker);
    assert_int_equal(serial_new(&console, fds), 0);
    return shared;
}

static void fill_port(void)
{
    static const uint8_t text[BYTE_RING_DATA_BYTES];

    assert_true(byte_ring_put(&port, text, sizeof text) > 0);
}

static void serial_output(void)
{
    static void *ports[3]; /* one lasts as long as its worker: nothing frees it */
    static unsigned n_ports;
    int fds[3];
    struct serial_shared *shared = make_serial(fds);

    assert_true(n_ports < ARRAY_SIZE(ports));
    ports[n_ports++] = console.front_data;
    fill_port();
    console.front->on_writable(console.front_data);
    munmap(shared, sizeof *shared);
    close(fds[0]);
}

static void serial_to_a_slow_reader(void **state)
{
    (void)state;
    serial_output();
    assert_int_equal(n_steps, STEPS_PER_TURN);
}

/* backend_write()'s own: a chunk goes in many pieces. */
static void serial_in_small_pieces(void **state)
{
    (void)state;
    piece_bytes = 64;
    serial_output();
    assert_int_equal(n_steps, STEPS_PER_TURN);
}

static void serial_of_a_guest_that_never_stops(void **state)
{
    (void)state;
    cost_ns = 0;
    port_refills = true;
    serial_output();
    assert_int_equal(n_steps, CONSOLE_CHUNKS_PER_TURN);
}

/* ---- input ---- */

static size_t any_room(void *front)
{
    (void)front;
    return SIZE_MAX;
}

static void take(void *front, const uint8_t *src, size_t len)
{
    (void)front;
    (void)src;
    (void)len;
    step();
}

static const struct console_front roomy = { .room = any_room, .input = take };

static void slow_input(void **state)
{
    (void)state;
    console.front = &roomy;
    for (unsigned i = 0; i < 3; i++) {
        turn_begin(&turn);
        n_steps = 0;
        assert_true(console_input_pump(&console)); /* it is to be called again */
        assert_true(n_steps >= 1 && n_steps <= STEPS_PER_TURN);
    }
    /* Whoever comes when the turn is over reads one chunk all the same: the escape keys may be in it. */
    n_steps = 0;
    assert_true(turn_over(&turn));
    assert_true(console_input_pump(&console));
    assert_int_equal(n_steps, 1);
}

static void input_without_end(void **state)
{
    (void)state;
    console.front = &roomy;
    cost_ns = 0;
    assert_true(console_input_pump(&console));
    assert_int_equal(n_steps, CONSOLE_CHUNKS_PER_TURN);
}

/* ---- virtio-console's input ---- */

/* Something was typed, and the guest's buffers have no room for a byte. */
static void no_room_in_any(void)
{
    static const uint8_t keys[] = "keys";
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;

    backend_free(console.backend);
    make_backend(false);
    assert_int_equal(vcon_new(&console, &announce), 0);
    console.front->input(console.front_data, keys, sizeof keys);
    for (unsigned i = 0; i < SIZE; i++) {
        put_desc(guest, DESC, i, DATA, 64, 0, 0);
        publish(guest, (uint16_t)i);
    }
    queue_refills = true;
    assert_int_equal(vcon_on_queue(console.front_data, 0), 0);
    assert_int_equal(n_reruns, 1);
    free(console.front_data);
}

static void slow_buffers(void **state)
{
    (void)state;
    no_room_in_any();
    assert_true(n_steps <= STEPS_PER_TURN);
}

static void buffers_without_end(void **state)
{
    (void)state;
    cost_ns = 0;
    no_room_in_any();
    assert_true(n_steps > SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        C(serial_to_a_slow_reader),
        C(serial_in_small_pieces),
        C(serial_of_a_guest_that_never_stops),
        C(slow_input),
        C(input_without_end),
        C(slow_buffers),
        C(buffers_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
