/* SPDX-License-Identifier: Apache-2.0 */
/* console_test.c - the console worker in its sandbox: serial ring and virtio-console against
 * pipes and files, with readers that are slow, late or gone. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "console_driver.h"
#include <cmocka.h>

static void serial_both_ways(void **state)
{
    int in[2], out[2];
    struct port *p;
    char got[16];

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false, in[0], out[1]);
    wh_start(p->wh);
    assert_int_equal(p->wh->virtio_id, 0);
    print(p, "login: ", 7);
    read_all(out[0], got, 7);
    assert_memory_equal(got, "login: ", 7);
    assert_int_equal(write(in[1], "root\1x\n", 7), 7); /* no escape keys asked for */
    read_guest(p, got, 7);
    assert_memory_equal(got, "root\1x\n", 7);
    assert_int_equal(WEXITSTATUS(wh_stop(p->wh)), 0);
    close(in[1]);
    close(out[0]);
    free_port(p);
}

static void escape_keys(void **state)
{
    static const char flood[4096] = "x";
    int in[2], out[2];
    struct port *p;
    char got[8];

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false, in[0], out[1]);
    p->config.escape = true;
    wh_start(p->wh);
    assert_int_equal(write(in[1], "a\1\1b\1x", 6), 6);
    wh_expect(p->wh, BULKHEAD__ENVELOPE__BODY_CONSOLE_ESCAPE);
    read_guest(p, got, 3);
    assert_memory_equal(got, "a\1b", 3);
    assert_int_equal(write(in[1], "\1h", 2), 2);
    read_all(out[0], got, 8);
    /* A guest that reads nothing: the keys still work. */
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(write(in[1], flood, sizeof(flood)), sizeof(flood));
    assert_int_equal(write(in[1], "\1x", 2), 2);
    wh_expect(p->wh, BULKHEAD__ENVELOPE__BODY_CONSOLE_ESCAPE);
    assert_true(p->wh->stats->dropped > 0);
    close(in[1]);
    close(out[0]);
    free_port(p);
}

/* Nothing typed is lost, however slowly the guest reads; with the keys, as long as it does read. */
static void type_much(bool escape)
{
    enum { TOTAL = 400000 };
    static uint8_t sent[TOTAL], got[TOTAL];
    int in[2], sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct port *p;
    pid_t typist;

    pattern(sent, TOTAL, 0);
    for (size_t i = 0; escape && i < TOTAL; i++)
        sent[i] |= 0x80;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false, in[0], sink);
    p->config.escape = escape;
    wh_start(p->wh);
    typist = fork();
    if (typist == 0)
        _exit(write(in[1], sent, TOTAL) == TOTAL ? 0 : 1);
    wait_for(&p->wh->stats->read_bytes, BYTE_RING_DATA_BYTES);
    read_guest(p, got, TOTAL);
    assert_memory_equal(got, sent, TOTAL);
    assert_int_equal(p->wh->stats->dropped, 0);
    assert_int_equal(waitpid(typist, NULL, 0), typist);
    close(in[1]);
    free_port(p);
}

static void input_waits_for_the_guest(void **state)
{
    (void)state;
    type_much(false);
    type_much(true);
}

static void a_stuck_reader_blocks_nothing(void **state)
{
    enum { TOTAL = 4 << 20, CHUNK = 16384 };
    static uint8_t data[CHUNK], got[1 << 18];
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out[2];
    struct port *p;
    uint32_t last = 0;
    uint64_t beat;
    size_t n = 0;

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false, in, out[1]);
    wh_start(p->wh);
    for (size_t at = 0; at < TOTAL; at += CHUNK) {
        pattern(data, CHUNK, (uint32_t)at / 4);
        print(p, data, CHUNK);
    }
    beat = p->wh->stats->heartbeat;
    wait_for(&p->wh->stats->heartbeat, beat + 2); /* alive */
    assert_true(p->wh->stats->dropped > TOTAL / 2);
    /* What comes out at last ends with the newest byte. */
    while (last != TOTAL / 4 - 1) {
        read_all(out[0], got + n, 4);
        memcpy(&last, got + n, 4);
        n = (n + 4) % sizeof(got);
    }
    close(out[0]);
    free_port(p);
}

/* Pending output lies in shared memory: a replacement goes on where the dead worker stopped. */
static void a_restart_repeats_and_loses_nothing(void **state)
{
    enum { ROUNDS = 10, BYTES = 40000 };
    static uint8_t sent[ROUNDS * BYTES + 200000], got[sizeof(sent)];
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out[2];
    size_t filled, total;
    struct port *p;

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pattern(sent, sizeof(sent), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false, in, out[1]);
    wh_start(p->wh);
    filled = (size_t)fcntl(out[0], F_GETPIPE_SZ) + BYTES; /* the pipe, and then some in the ring */
    print(p, sent, filled);
    total = filled;
    for (unsigned round = 0; round < ROUNDS; round++) {
        wait_for(&p->wh->stats->write_bytes, total - BYTES); /* it rests: nothing more fits */
        wh_kill(p->wh);
        read_all(out[0], got + total - filled, BYTES - BYTES % 4096);
        filled -= BYTES - BYTES % 4096;
        wh_start(p->wh);
        print(p, sent + total, BYTES - BYTES % 4096);
        total += BYTES - BYTES % 4096;
        filled += BYTES - BYTES % 4096;
    }
    read_all(out[0], got + total - filled, filled);
    assert_memory_equal(got, sent, total);
    assert_int_equal(p->wh->stats->dropped, 0);
    close(out[0]);
    free_port(p);
}

static void file_and_dead_reader(void **state)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int file = memfd_create("log", MFD_CLOEXEC), out[2];
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_FILE, false, null_fd, file);
    uint8_t data[10000], got[10000];

    (void)state;
    pattern(data, sizeof(data), 7);
    wh_start(p->wh);
    print(p, data, sizeof(data));
    wait_for(&p->wh->stats->write_bytes, sizeof(data));
    assert_int_equal(pread(file, got, sizeof(got), 0), sizeof(got));
    assert_memory_equal(got, data, sizeof(data));
    wh_kill(p->wh);
    wh_start(p->wh);
    print(p, data, sizeof(data)); /* goes on behind it */
    wait_for(&p->wh->stats->write_bytes, 2 * sizeof(data));
    assert_int_equal(lseek(file, 0, SEEK_END), 2 * sizeof(data));
    free_port(p);

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false,
                 open("/dev/null", O_RDONLY | O_CLOEXEC), out[1]);
    wh_start(p->wh);
    close(out[0]);
    for (unsigned i = 0; i < 20; i++)
        print(p, data, sizeof(data));
    wait_for(&p->wh->stats->dropped, 20 * sizeof(data));
    assert_int_equal(WEXITSTATUS(wh_stop(p->wh)), 0);
    free_port(p);
}

static void virtio_both_ways(void **state)
{
    int in[2], out[2];
    uint8_t got[64];
    struct port *p;
    struct wh *wh;
    uint64_t at;
    uint16_t head;
    uint32_t len;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, true, in[0], out[1]);
    wh = p->wh;
    at = wh_data_base(wh);
    wh_start(wh);
    assert_int_equal(wh->virtio_id, 3);
    assert_int_equal(wh->features & FEATURES, FEATURES);
    assert_int_equal(write(in[1], "early", 5), 5); /* typed before there is a driver */
    wh_activate(wh, FEATURES, false);
    assert_true(wh_add(wh, RXQ, &(struct wh_buf){ at, 3, true }, 1, false) >= 0);
    assert_true(wh_add(wh, RXQ, &(struct wh_buf){ at + 64, 64, true }, 1, true) >= 0);
    wh_kick(wh, RXQ);
    wh_wait_used(wh, RXQ, &head, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(wh_mem(wh, at, 3), "ear", 3);
    wh_wait_used(wh, RXQ, &head, &len);
    assert_int_equal(len, 2);
    assert_memory_equal(wh_mem(wh, at + 64, 2), "ly", 2);
    for (unsigned i = 0; i < 300; i++) { /* more than the queue holds */
        struct wh_buf two[] = { { at + 128, 3, false }, { at + 192, 4, false } };

        memcpy(wh_mem(wh, at + 128, 3), "abc", 3);
        memcpy(wh_mem(wh, at + 192, 4), "defg", 4);
        assert_true(wh_add(wh, TXQ, two, 2, i & 1) >= 0);
        wh_kick(wh, TXQ);
        wh_wait_used(wh, TXQ, &head, &len);
        assert_int_equal(len, 0);
        read_all(out[0], got, 7);
        assert_memory_equal(got, "abcdefg", 7);
    }
    assert_true(wh_add(wh, RXQ, &(struct wh_buf){ at, 64, true }, 1, false) >= 0);
    wh_kick(wh, RXQ);
    wh_restart(wh, FEATURES); /* the waiting buffer is not forgotten */
    assert_int_equal(write(in[1], "late", 4), 4);
    wh_wait_used(wh, RXQ, &head, &len);
    assert_int_equal(len, 4);
    assert_memory_equal(wh_mem(wh, at, 4), "late", 4);
    close(in[1]);
    close(out[0]);
    free_port(p);
}

/* Far more than any turn's work in a few requests: the heart beats on, the broker is answered. */
static void requests_without_end(void **state)
{
    enum { CHAINS = 8, PARTS = 60, PART_BYTES = 48 << 20 };
    int in[2], out[2];
    struct port *p;
    struct wh *wh;
    struct wh_buf parts[PARTS];
    unsigned n_done = 0;
    uint8_t got[4096];
    uint16_t head;
    uint32_t len;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, true, in[0], out[1]);
    p->config.escape = true;
    wh = p->wh;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    for (unsigned i = 0; i < PARTS; i++)
        parts[i] = (struct wh_buf){ wh_data_base(wh), PART_BYTES, false };
    for (unsigned i = 0; i < CHAINS; i++)
        assert_true(wh_add(wh, TXQ, parts, PARTS, true) >= 0);
    wh_kick(wh, TXQ);
    wait_for_beats(wh, 5);
    wh_quiesce(wh);
    wh_unquiesce(wh);
    assert_int_equal(write(in[1], "\1x", 2), 2); /* the keys have their turn */
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_CONSOLE_ESCAPE);
    while (wh_try_used(wh, TXQ, &head, &len))
        n_done++;
    assert_true(n_done < CHAINS); /* and it is far from done */
    read_all(out[0], got, sizeof(got));
    wh_reset(wh);
    wh_activate(wh, FEATURES, false);
    parts[0].len = 100;
    assert_true(wh_add(wh, TXQ, parts, 1, false) >= 0);
    wh_kick(wh, TXQ);
    wh_wait_used(wh, TXQ, &head, &len);
    close(in[1]);
    close(out[0]);
    free_port(p);
}

/* Many buffers that hold no byte, for a key that waits: the other queue has its turn among them. Its
 * request's data is what the guest sees of how many were given back. */
static void buffers_without_room(void **state)
{
    enum { BUFFERS = 1024 };
    uint16_t head, given_back = 0;
    uint32_t len;
    int in[2], out[2];
    struct port *p;
    struct wh *wh;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_virtio_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, BUFFERS, in[0], out[1]);
    wh = p->wh;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    assert_int_equal(write(in[1], "k", 1), 1);
    wait_for(&wh->stats->read_bytes, 1);
    wait_for_beats(wh, 1); /* it sleeps */
    kill(wh->pid, SIGSTOP);
    while (wh_add(wh, RXQ, &(struct wh_buf){ wh_data_base(wh), 1, false }, 1, false) >= 0)
        ;
    assert_true(wh_add(wh, TXQ, &(struct wh_buf){ wh->queues[RXQ].used + 2, 2, false }, 1, false) >=
                0);
    wh_kick_always(wh, RXQ);
    wh_kick_always(wh, TXQ);
    kill(wh->pid, SIGCONT);
    read_all(out[0], &given_back, sizeof(given_back));
    assert_in_range(given_back, 0, BUFFERS / 2);
    for (unsigned i = 0; i < BUFFERS; i++) {
        wh_wait_used(wh, RXQ, &head, &len);
        assert_int_equal(len, 0);
    }
    assert_true(wh_add(wh, RXQ, &(struct wh_buf){ wh_data_base(wh), 1, true }, 1, false) >= 0);
    wh_kick(wh, RXQ);
    wh_wait_used(wh, RXQ, &head, &len);
    assert_int_equal(len, 1);
    assert_int_equal(*(char *)wh_mem(wh, wh_data_base(wh), 1), 'k');
    close(in[1]);
    close(out[0]);
    free_port(p);
}

/* One that takes many turns goes out whole, once, in order. */
static void a_long_request(void **state)
{
    enum { PARTS = 40, PART_BYTES = 1 << 20 };
    static uint8_t got[65536];
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out = memfd_create("log", MFD_CLOEXEC);
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_FILE, true, in, out);
    struct wh_buf parts[PARTS];
    struct wh *wh = p->wh;
    uint8_t *data;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    data = wh_mem(wh, wh_data_base(wh), PART_BYTES);
    pattern(data, PART_BYTES, 0);
    for (unsigned i = 0; i < PARTS; i++)
        parts[i] = (struct wh_buf){ wh_data_base(wh), PART_BYTES, false };
    assert_true(wh_add(wh, TXQ, parts, PARTS, true) >= 0);
    wh_kick(wh, TXQ);
    wh_quiesce(wh);
    wh_unquiesce(wh);
    wh_wait_used(wh, TXQ, &head, &len);
    assert_int_equal(lseek(out, 0, SEEK_END), (off_t)PARTS * PART_BYTES);
    for (off_t at = 0; at < (off_t)PARTS * PART_BYTES; at += (off_t)sizeof(got)) {
        assert_int_equal(pread(out, got, sizeof(got), at), sizeof(got));
        assert_memory_equal(got, data + at % PART_BYTES, sizeof(got));
    }
    assert_int_equal(wh->stats->dropped, 0);
    free_port(p);
}

/* A worker that is told to leave gets out what it has, to whoever takes it. */
static void the_last_words(void **state)
{
    enum { TOTAL = 100000 };
    static uint8_t data[TOTAL], got[TOTAL];

    (void)state;
    pattern(data, TOTAL, 0);
    for (unsigned virtio = 0; virtio < 2; virtio++) {
        Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
        ENVELOPE(e, STOP, stop, &stop);
        int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out[2];
        struct port *p;
        uint16_t head;
        uint32_t len;

        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_true(fcntl(out[1], F_SETPIPE_SZ, 65536) > 0);
        p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, virtio, in, out[1]);
        wh_start(p->wh);
        if (virtio) {
            wh_activate(p->wh, FEATURES, false);
            memcpy(wh_mem(p->wh, wh_data_base(p->wh), TOTAL), data, TOTAL);
            assert_true(wh_add(p->wh, TXQ, &(struct wh_buf){ wh_data_base(p->wh), TOTAL, false }, 1,
                               false) >= 0);
            wh_kick(p->wh, TXQ);
            wh_wait_used(p->wh, TXQ, &head, &len);
        } else {
            print(p, data, TOTAL);
        }
        wait_for(&p->wh->stats->write_bytes, 65536); /* no more fits */
        wh_send(p->wh, &e);
        read_all(out[0], got, TOTAL);
        assert_memory_equal(got, data, TOTAL);
        assert_int_equal(WEXITSTATUS(wh_wait_exit(p->wh)), 0);
        close(out[0]);
        free_port(p);
    }
}

/* A Linux driver spins until its bytes are taken: they always are. */
/* The host was busy, so that all of it still lies in the ring when the guest's end comes. */
static void write_what_lies_in_the_ring(bool core_ended)
{
    enum { REQUESTS = 60 };
    int in[2], out[2];
    struct port *p;
    struct wh *wh;
    char got[REQUESTS];
    Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
    ENVELOPE(leave, STOP, stop, &stop);

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, true, in[0], out[1]);
    wh = p->wh;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    wait_for_beats(wh, 1); /* it sleeps */
    kill(wh->pid, SIGSTOP);
    memset(wh_mem(wh, wh_data_base(wh), 1), 'x', 1);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_true(wh_add(wh, TXQ, &(struct wh_buf){ wh_data_base(wh), 1, false }, 1, false) >= 0);
    wh_kick_always(wh, TXQ);
    if (core_ended) /* without a broker */
        fd_closep(&wh->life_write_fd);
    else
        wh_send(wh, &leave);
    kill(wh->pid, SIGCONT);
    assert_int_equal(WEXITSTATUS(wh_wait_exit(wh)), 0);
    assert_int_equal(read(out[0], got, sizeof(got)), sizeof(got));
    close(in[1]);
    close(out[0]);
    free_port(p);
}

static void what_lies_in_the_ring_is_written(void **state)
{
    (void)state;
    write_what_lies_in_the_ring(false);
    write_what_lies_in_the_ring(true);
}

/* What was done before a ring broke is told of. */
static void a_good_request_before_a_bad_one(void **state)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_FILE, true, in, out);
    struct wh *wh = p->wh;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    wh_want_interrupt(wh, TXQ);
    assert_true(wh_add(wh, TXQ, &(struct wh_buf){ wh_data_base(wh), 8, false }, 1, false) >= 0);
    wh_publish(wh, TXQ, UINT16_MAX); /* no such descriptor */
    wh_kick_always(wh, TXQ);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    assert_true(wh_wait_interrupt(wh, TXQ, 0));
    assert_true(wh_try_used(wh, TXQ, &head, &len));
    free_port(p);
}

static void type_into_a_buffer(struct wh *wh, int to, const char *keys)
{
    struct wh_buf buf = { wh_data_base(wh), (uint32_t)strlen(keys), true };
    uint16_t head;
    uint32_t len;

    assert_true(wh_add(wh, RXQ, &buf, 1, false) >= 0);
    assert_int_equal(write(to, keys, buf.len), buf.len);
    wh_wait_used(wh, RXQ, &head, &len);
    assert_int_equal(len, buf.len);
}

/* Keys, too, that fill a buffer before they find the broken ring. */
static void a_good_buffer_before_a_bad_one(void **state)
{
    int in[2], out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct port *p;
    uint16_t head;
    struct wh *wh;
    uint32_t len;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, true, in[0], out);
    wh = p->wh;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    type_into_a_buffer(wh, in[1], "the driver is known"); /* keys alone bring the worker there */
    wh_want_interrupt(wh, RXQ);
    assert_true(wh_add(wh, RXQ, &(struct wh_buf){ wh_data_base(wh), 4, true }, 1, false) >= 0);
    wh_publish(wh, RXQ, UINT16_MAX); /* no such descriptor */
    assert_int_equal(write(in[1], "0123456789", 10), 10);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    assert_true(wh_wait_interrupt(wh, RXQ, 0));
    assert_true(wh_try_used(wh, RXQ, &head, &len));
    assert_int_equal(len, 4);
    close(in[1]);
    free_port(p);
}

static void virtio_reader_is_stuck(void **state)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out[2];
    struct port *p;
    struct wh *wh;
    struct wh_buf buf;
    uint16_t head;
    uint32_t len;

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, true, in, out[1]);
    wh = p->wh;
    buf = (struct wh_buf){ wh_data_base(wh), 4096, false };
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    for (unsigned i = 0; i < 200; i++) {
        assert_true(wh_add(wh, TXQ, &buf, 1, false) >= 0);
        wh_kick(wh, TXQ);
        wh_wait_used(wh, TXQ, &head, &len);
    }
    assert_true(wh->stats->dropped > 0);
    buf.write = true; /* a buffer the wrong way round takes nothing and harms nothing */
    assert_true(wh_add(wh, TXQ, &buf, 1, false) >= 0);
    wh_kick(wh, TXQ);
    wh_wait_used(wh, TXQ, &head, &len);
    wh_reset(wh);
    wh_activate(wh, FEATURES, false);
    close(out[0]);
    free_port(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serial_both_ways),
        cmocka_unit_test(escape_keys),
        cmocka_unit_test(input_waits_for_the_guest),
        cmocka_unit_test(a_stuck_reader_blocks_nothing),
        cmocka_unit_test(a_restart_repeats_and_loses_nothing),
        cmocka_unit_test(file_and_dead_reader),
        cmocka_unit_test(virtio_both_ways),
        cmocka_unit_test(a_good_request_before_a_bad_one),
        cmocka_unit_test(a_good_buffer_before_a_bad_one),
        cmocka_unit_test(virtio_reader_is_stuck),
        cmocka_unit_test(requests_without_end),
        cmocka_unit_test(buffers_without_room),
        cmocka_unit_test(a_long_request),
        cmocka_unit_test(the_last_words),
        cmocka_unit_test(what_lies_in_the_ring_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
