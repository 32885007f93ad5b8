/* SPDX-License-Identifier: Apache-2.0 */
/* platform_test.c - serial port, power registers, clock, through their ports. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/fd.h"
#include "fake_hv.h"
#include "platform/ged.h"
#include "platform/keyboard.h"
#include "platform/power.h"
#include "platform/rtc.h"
#include "platform/serial.h"
#include "shm/layout.h"

enum { COM = LAYOUT_PIO_SERIAL };

struct board {
    struct hv hv;
    struct bus pio;
    struct serial serial;
    struct power power;
    struct ged ged;
    struct keyboard keyboard;
    struct rtc rtc;
    struct serial_shared *shared;
    struct byte_ring out, in; /* the worker's ends */
    int out_fd;
    unsigned offs, resets;
};

static void on_power(void *arg, enum power_event event)
{
    struct board *b = arg;

    if (event == POWER_OFF)
        b->offs++;
    else
        b->resets++;
}

static void on_keyboard_reset(void *arg)
{
    ((struct board *)arg)->resets++;
}

static time_t host_seconds = 951868799; /* Tue 2000-02-29 23:59:59 UTC */

static time_t fixed_time(void)
{
    return host_seconds;
}

static struct board *board_new(void)
{
    static struct board board;
    struct board *b = &board;

    memset(b, 0, sizeof *b);
    b->shared = aligned_alloc(4096, sizeof *b->shared);
    assert_non_null(b->shared);
    memset(b->shared, 0, sizeof *b->shared);
    b->out_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    byte_ring_attach_consumer(&b->out, &b->shared->to_worker);
    byte_ring_attach_producer(&b->in, &b->shared->to_guest);
    serial_init(&b->serial, &b->hv, b->shared, b->out_fd);
    power_init(&b->power, on_power, b);
    ged_init(&b->ged, &b->hv);
    keyboard_init(&b->keyboard, &b->hv, on_keyboard_reset, b);
    rtc_init(&b->rtc);
    b->rtc.now = fixed_time;
    assert_int_equal(serial_add_to(&b->serial, &b->pio), 0);
    assert_int_equal(power_add_to(&b->power, &b->pio), 0);
    assert_int_equal(ged_add_to(&b->ged, &b->pio), 0);
    assert_int_equal(keyboard_add_to(&b->keyboard, &b->pio), 0);
    assert_int_equal(rtc_add_to(&b->rtc, &b->pio), 0);
    return b;
}

static void board_free(struct board *b)
{
    close(b->out_fd);
    free(b->shared);
}

static uint32_t in(struct board *b, uint16_t port, unsigned size)
{
    uint32_t v = 0;

    bus_read(&b->pio, port, size, &v);
    return v;
}

static void out(struct board *b, uint16_t port, unsigned size, uint32_t v)
{
    bus_write(&b->pio, port, size, &v);
}

static void type(struct board *b, const char *text)
{
    byte_ring_put(&b->in, text, strlen(text));
    serial_on_input(&b->serial);
}

static void test_transmit(void **state)
{
    struct board *b = board_new();
    char got[8] = "";

    (void)state;
    out(b, COM + 2, 1, 0xc7); /* FIFOs on and empty */
    for (const char *s = "hello"; *s; s++) {
        assert_int_equal(in(b, COM + 5, 1), 0x60);
        out(b, COM, 1, (uint8_t)*s);
    }
    assert_true(fd_event_drain(b->out_fd) > 0);
    assert_int_equal(byte_ring_peek(&b->out, got, sizeof got), 5);
    assert_memory_equal(got, "hello", 5);
    /* Nobody reads: the guest is not held up, what doesn't fit is counted. */
    for (unsigned i = 0; i < BYTE_RING_DATA_BYTES + 10; i++)
        out(b, COM, 1, 'x');
    assert_int_equal(b->shared->to_worker.dropped, 15);
    assert_int_equal(in(b, COM + 5, 1), 0x60);
    board_free(b);
}

static void test_transmit_interrupt(void **state)
{
    struct board *b = board_new();

    (void)state;
    assert_int_equal(in(b, COM + 2, 1), 0x01);
    out(b, COM + 1, 1, 2); /* enabling it with an empty transmitter raises it */
    assert_true(b->hv.line[LAYOUT_GSI_SERIAL]);
    assert_int_equal(in(b, COM + 2, 1), 0x02);
    assert_false(b->hv.line[LAYOUT_GSI_SERIAL]); /* reading IIR took it */
    assert_int_equal(in(b, COM + 2, 1), 0x01);
    out(b, COM, 1, 'a');
    assert_true(b->hv.line[LAYOUT_GSI_SERIAL]);
    out(b, COM, 1, 'b'); /* not read in between: still an edge for each byte */
    assert_int_equal(b->hv.rises[LAYOUT_GSI_SERIAL], 3);
    out(b, COM + 1, 1, 0);
    assert_false(b->hv.line[LAYOUT_GSI_SERIAL]);
    board_free(b);
}

static void test_receive(void **state)
{
    struct board *b = board_new();

    (void)state;
    out(b, COM + 2, 1, 0x41); /* FIFO, trigger at 4 */
    out(b, COM + 1, 1, 1);
    type(b, "ab");
    assert_true(b->hv.line[LAYOUT_GSI_SERIAL]);
    assert_int_equal(in(b, COM + 2, 1), 0xcc); /* below the trigger: timeout */
    assert_int_equal(in(b, COM + 5, 1), 0x61);
    assert_int_equal(in(b, COM, 1), 'a');
    assert_true(b->hv.line[LAYOUT_GSI_SERIAL]);
    assert_int_equal(in(b, COM, 1), 'b');
    assert_false(b->hv.line[LAYOUT_GSI_SERIAL]);
    assert_int_equal(in(b, COM + 5, 1), 0x60);
    assert_int_equal(in(b, COM, 1), 0);
    /* More than the FIFO holds waits in the ring; the worker hears of room. */
    type(b, "0123456789abcdefghijklmnopqrstuvwxyz");
    (void)fd_event_drain(b->out_fd);
    assert_int_equal(in(b, COM + 2, 1), 0xc4);
    for (const char *s = "0123456789abcdefghijklmnopqrstuvwxyz"; *s; s++)
        assert_int_equal(in(b, COM, 1), *s);
    assert_true(fd_event_drain(b->out_fd) > 0);
    assert_int_equal(in(b, COM + 5, 1), 0x60); /* nothing was lost */
    /* Without FIFOs one at a time. */
    out(b, COM + 2, 1, 0);
    type(b, "xy");
    assert_int_equal(in(b, COM + 2, 1), 0x04);
    assert_int_equal(in(b, COM, 1), 'x');
    assert_int_equal(in(b, COM, 1), 'y');
    board_free(b);
}

/* Typed before the guest's driver comes, which empties the FIFO several times first. */
static void test_typed_ahead(void **state)
{
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    static const uint8_t control[] = { 0x01, 0x07, 0x00, 0x01, 0x00, 0x01, 0x81, 0x83 };
    struct board *b = board_new();

    (void)state;
    type(b, text);
    for (size_t i = 0; i < sizeof control; i++)
        out(b, COM + 2, 1, control[i]);
    out(b, COM + 1, 1, 5);
    assert_true(b->hv.line[LAYOUT_GSI_SERIAL]);
    for (const char *s = text; *s; s++) {
        assert_int_equal(in(b, COM + 5, 1) & 3, 1); /* data, no overrun */
        assert_int_equal(in(b, COM, 1), *s);
    }
    assert_int_equal(in(b, COM + 5, 1) & 1, 0);
    /* What came round in a loop is gone; without FIFOs there is room for one of those. */
    type(b, "0123456789abcdefghijklmnopqrstuvwxyz");
    out(b, COM + 2, 1, 0);
    out(b, COM + 4, 1, 0x10);
    for (unsigned i = 0; i < 20; i++)
        out(b, COM, 1, 'L');
    out(b, COM + 2, 1, 1);
    assert_int_equal(in(b, COM + 5, 1) & 1, 0);
    out(b, COM + 4, 1, 0);
    assert_int_equal(in(b, COM, 1), 'g'); /* 16 were in the FIFO when the loop was emptied */
    board_free(b);
}

/* What Linux's 8250 driver probes for. */
static void test_probe(void **state)
{
    struct board *b = board_new();
    char byte;

    (void)state;
    out(b, COM + 7, 1, 0xa5);
    assert_int_equal(in(b, COM + 7, 1), 0xa5);
    out(b, COM + 1, 1, 0xff);
    assert_int_equal(in(b, COM + 1, 1), 0x0f);
    out(b, COM + 1, 1, 0);
    out(b, COM + 2, 1, 1);
    assert_int_equal(in(b, COM + 2, 1) >> 6, 3); /* a 16550A */
    out(b, COM + 3, 1, 0x80);
    out(b, COM, 2, 0x010c); /* the divisor in one go */
    assert_int_equal(in(b, COM, 1), 0x0c);
    assert_int_equal(in(b, COM + 1, 1), 0x01);
    out(b, COM + 3, 1, 0x03);
    assert_int_equal(in(b, COM + 1, 1), 0);
    assert_int_equal(in(b, COM + 6, 1) & 0xf0, 0xb0);
    out(b, COM + 4, 1, 0x1a); /* loop, OUT2, RTS: comes back as DCD, CTS */
    assert_int_equal(in(b, COM + 6, 1) & 0xf0, 0x90);
    type(b, "q"); /* cut off from the line */
    assert_int_equal(in(b, COM + 5, 1) & 1, 0);
    out(b, COM, 1, 'L');
    assert_int_equal(in(b, COM, 1), 'L');
    assert_int_equal(byte_ring_peek(&b->out, &byte, 1), 0);
    out(b, COM + 4, 1, 0x0b);
    assert_int_equal(in(b, COM, 1), 'q');
    board_free(b);
}

static void test_no_console(void **state)
{
    struct board *b = board_new();

    (void)state;
    serial_init(&b->serial, &b->hv, NULL, -1);
    out(b, COM, 1, 'x');
    assert_int_equal(in(b, COM + 5, 1), 0x60);
    serial_on_input(&b->serial);
    board_free(b);
}

static void test_power(void **state)
{
    struct board *b = board_new();

    (void)state;
    out(b, LAYOUT_PIO_SLEEP_CONTROL, 1, 3 << 2 | 1 << 5);        /* another sleep state */
    out(b, LAYOUT_PIO_SLEEP_CONTROL, 1, LAYOUT_SLP_TYP_S5 << 2); /* not enabled */
    assert_int_equal(b->offs, 0);
    assert_int_equal(in(b, LAYOUT_PIO_SLEEP_STATUS, 1), 0);
    out(b, LAYOUT_PIO_SLEEP_CONTROL, 1, LAYOUT_SLP_TYP_S5 << 2 | 1 << 5);
    assert_int_equal(b->offs, 1);
    out(b, LAYOUT_PIO_RESET, 1, 0x55);
    assert_int_equal(b->resets, 0);
    out(b, LAYOUT_PIO_RESET, 1, LAYOUT_RESET_VALUE);
    assert_int_equal(b->resets, 1);
    assert_int_equal(in(b, 0x603, 1), 0xff); /* nobody */
    board_free(b);
}

static void test_events(void **state)
{
    struct board *b = board_new();

    (void)state;
    assert_int_equal(in(b, LAYOUT_PIO_GED, 4), 0);
    ged_raise(&b->ged, LAYOUT_GED_POWER_BUTTON);
    ged_raise(&b->ged, LAYOUT_GED_POWER_BUTTON);
    assert_int_equal(b->hv.rises[LAYOUT_GSI_GED], 1);
    assert_true(b->hv.line[LAYOUT_GSI_GED]);
    out(b, LAYOUT_PIO_GED, 4, 0);
    assert_int_equal(in(b, LAYOUT_PIO_GED, 4), LAYOUT_GED_POWER_BUTTON);
    assert_false(b->hv.line[LAYOUT_GSI_GED]);
    assert_int_equal(in(b, LAYOUT_PIO_GED, 4), 0);
    ged_raise(&b->ged, LAYOUT_GED_POWER_BUTTON);
    assert_int_equal(b->hv.rises[LAYOUT_GSI_GED], 2);
    assert_int_equal(in(b, LAYOUT_PIO_GED + 1, 1), 0); /* part of the register: nothing is taken */
    assert_true(b->hv.line[LAYOUT_GSI_GED]);           /* the line is up until it is */
    ged_raise(&b->ged, LAYOUT_GED_PCI);                /* a second kind, on the line that is up */
    assert_int_equal(b->hv.rises[LAYOUT_GSI_GED], 2);
    assert_int_equal(in(b, LAYOUT_PIO_GED, 4), LAYOUT_GED_POWER_BUTTON | LAYOUT_GED_PCI);
    assert_false(b->hv.line[LAYOUT_GSI_GED]);
    board_free(b);
}

/* What the driver gets for a byte to the keyboard or a command; each byte raises the line. */
static void expect_answer(struct board *b, uint16_t port, uint8_t byte, const char *want,
                          size_t want_len)
{
    unsigned rises = b->hv.rises[LAYOUT_GSI_KEYBOARD];

    out(b, port, 1, byte);
    for (size_t i = 0; i < want_len; i++) {
        assert_int_equal(in(b, 0x64, 1) & 1, 1);
        assert_true(b->hv.line[LAYOUT_GSI_KEYBOARD]);
        assert_int_equal(in(b, 0x60, 1), (uint8_t)want[i]);
    }
    assert_int_equal(in(b, 0x64, 1) & 1, 0);
    assert_false(b->hv.line[LAYOUT_GSI_KEYBOARD]);
    assert_int_equal(b->hv.rises[LAYOUT_GSI_KEYBOARD], rises + want_len);
}

/* What Linux's i8042 and atkbd do, in their order; then the key. */
static void test_keyboard(void **state)
{
    struct board *b = board_new();

    (void)state;
    keyboard_wake(&b->keyboard); /* nobody listens yet */
    assert_int_equal(in(b, 0x64, 1), 0x14);
    out(b, 0x64, 1, 0x20);
    assert_int_equal(in(b, 0x64, 1), 0x1d);
    assert_false(b->hv.line[LAYOUT_GSI_KEYBOARD]); /* not allowed to */
    assert_int_equal(in(b, 0x60, 1), 0x74);
    assert_int_equal(in(b, 0x60, 1), 0);
    out(b, 0x64, 1, 0x60);
    out(b, 0x60, 1, 0x65); /* translated, interrupts, enabled */
    expect_answer(b, 0x64, 0xaa, "\x55", 1);
    expect_answer(b, 0x64, 0xab, "\0", 1);
    expect_answer(b, 0x60, 0xf2, "\xfa\xab\x41", 3);
    expect_answer(b, 0x60, 0xed, "\xfa", 1);
    expect_answer(b, 0x60, 0x00, "\xfa", 1);
    expect_answer(b, 0x60, 0xf3, "\xfa", 1);
    expect_answer(b, 0x60, 0xf4, "\xfa", 1); /* the rate, not "enable" */
    keyboard_wake(&b->keyboard);
    assert_int_equal(in(b, 0x64, 1) & 1, 0);
    expect_answer(b, 0x60, 0x11, "\xfe", 1); /* no such command */
    expect_answer(b, 0x60, 0xf4, "\xfa", 1);
    keyboard_wake(&b->keyboard);
    keyboard_wake(&b->keyboard); /* once until it is read */
    for (const char *code = "\xe0\x63\xe0\xe3"; *code; code++) {
        assert_true(b->hv.line[LAYOUT_GSI_KEYBOARD]);
        assert_int_equal(in(b, 0x60, 1), (uint8_t)*code);
    }
    assert_false(b->hv.line[LAYOUT_GSI_KEYBOARD]);
    expect_answer(b, 0x60, 0xf5, "\xfa", 1);
    keyboard_wake(&b->keyboard);
    assert_int_equal(in(b, 0x64, 1) & 1, 0);
    expect_answer(b, 0x60, 0xff, "\xfa\xaa", 2);
    /* A keyboard that is cut off keeps its bytes; the reset line. */
    out(b, 0x64, 1, 0xad);
    keyboard_wake(&b->keyboard);
    assert_false(b->hv.line[LAYOUT_GSI_KEYBOARD]);
    out(b, 0x64, 1, 0xae);
    assert_true(b->hv.line[LAYOUT_GSI_KEYBOARD]);
    out(b, 0x64, 1, 0xd1);
    out(b, 0x60, 1, 0xfe);
    assert_int_equal(b->resets, 0);
    out(b, 0x64, 1, 0xfe);
    assert_int_equal(b->resets, 1);
    board_free(b);
}

/* A guest that asks and never reads gets no more than there is room for. */
static void test_keyboard_is_full(void **state)
{
    struct board *b = board_new();
    unsigned n = 0;

    (void)state;
    out(b, 0x64, 1, 0x60);
    out(b, 0x60, 1, 0x25); /* not translated */
    for (unsigned i = 0; i < 100; i++)
        out(b, 0x60, 1, 0xf2);
    for (; in(b, 0x64, 1) & 1; n++)
        (void)in(b, 0x60, 1);
    assert_int_equal(n, KEYBOARD_FIFO_BYTES);
    expect_answer(b, 0x60, 0xf2, "\xfa\xab\x83", 3);
    expect_answer(b, 0x60, 0xf4, "\xfa", 1);
    keyboard_wake(&b->keyboard);
    for (const char *code = "\xe0\x5e\xe0\xf0\x5e"; *code; code++)
        assert_int_equal(in(b, 0x60, 1), (uint8_t)*code);
    board_free(b);
}

static uint8_t cmos(struct board *b, uint8_t index)
{
    out(b, 0x70, 1, index);
    return (uint8_t)in(b, 0x71, 1);
}

static void test_clock(void **state)
{
    static const struct {
        uint8_t index, want;
    } cases[] = {
        { 0, 0x59 }, { 2, 0x59 },    { 4, 0x23 },  { 6, 3 },     { 7, 0x29 },    { 8, 0x02 },
        { 9, 0x00 }, { 0x32, 0x20 }, { 11, 0x02 }, { 13, 0x80 }, { 0x80, 0x59 }, { 0x20, 0 },
    };
    struct board *b = board_new();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(cmos(b, cases[i].index), cases[i].want);
    assert_int_equal(cmos(b, 10) & 0x80, 0); /* no update in progress */
    out(b, 0x70, 1, 0x7f);
    out(b, 0x71, 1, 0x42);
    assert_int_equal(cmos(b, 0x7f), 0x42);
    assert_int_equal(in(b, 0x70, 1), 0xff);
    assert_int_equal(in(b, 0x70, 2), 0xffff);
    board_free(b);
}

static void set_cmos(struct board *b, uint8_t index, uint8_t value)
{
    out(b, 0x70, 1, index);
    out(b, 0x71, 1, value);
}

static void assert_time(struct board *b, const uint8_t want[7])
{
    static const uint8_t index[] = { 0x32, 9, 8, 7, 4, 2, 0 };

    for (size_t i = 0; i < sizeof index; i++)
        assert_int_equal(cmos(b, index[i]), want[i]);
}

/* As Linux's hwclock has it: stopped, written in an order that passes through dates there are none
 * of, started. */
static void test_clock_is_set(void **state)
{
    struct board *b = board_new();
    time_t host = host_seconds;

    (void)state;
    set_cmos(b, 11, 0x82);
    assert_int_equal(cmos(b, 11), 0x82);
    set_cmos(b, 9, 0x37); /* 2037-02-29 for a moment */
    set_cmos(b, 8, 0x11);
    set_cmos(b, 7, 0x30);
    set_cmos(b, 4, 0x12);
    set_cmos(b, 2, 0x34);
    set_cmos(b, 0, 0x56);
    set_cmos(b, 0x32, 0x20);
    host_seconds += 5; /* it stands meanwhile */
    assert_time(b, (uint8_t[]){ 0x20, 0x37, 0x11, 0x30, 0x12, 0x34, 0x56 });
    set_cmos(b, 11, 0x02);
    assert_int_equal(cmos(b, 11), 0x02);
    assert_time(b, (uint8_t[]){ 0x20, 0x37, 0x11, 0x30, 0x12, 0x34, 0x56 });
    assert_int_equal(cmos(b, 6), 2); /* that's a Monday */
    host_seconds += 5;
    assert_time(b, (uint8_t[]){ 0x20, 0x37, 0x11, 0x30, 0x12, 0x35, 0x01 });
    set_cmos(b, 4, 0x11); /* while it runs: that register alone */
    assert_time(b, (uint8_t[]){ 0x20, 0x37, 0x11, 0x30, 0x11, 0x35, 0x01 });
    /* No time: the clock goes on from where it was. */
    set_cmos(b, 11, 0x82);
    set_cmos(b, 8, 0x13);
    set_cmos(b, 0, 0x7a);
    set_cmos(b, 11, 0x02);
    assert_time(b, (uint8_t[]){ 0x20, 0x37, 0x11, 0x30, 0x11, 0x35, 0x01 });
    host_seconds = host;
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transmit), cmocka_unit_test(test_transmit_interrupt),
        cmocka_unit_test(test_receive),  cmocka_unit_test(test_typed_ahead),
        cmocka_unit_test(test_probe),    cmocka_unit_test(test_no_console),
        cmocka_unit_test(test_power),    cmocka_unit_test(test_events),
        cmocka_unit_test(test_keyboard), cmocka_unit_test(test_keyboard_is_full),
        cmocka_unit_test(test_clock),    cmocka_unit_test(test_clock_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
