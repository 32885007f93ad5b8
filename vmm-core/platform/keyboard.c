/* SPDX-License-Identifier: Apache-2.0 */
/* keyboard.c - see keyboard.h. IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller"; Microsoft's Keyboard Scan Code Specification for the key. */
#include "platform/keyboard.h"

#include "base/err.h"
#include "shm/layout.h"

enum {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08,
    STATUS_UNLOCKED = 0x10,

    CONTROL_INTERRUPT = 0x01,
    CONTROL_SYSTEM = 0x04,
    CONTROL_DISABLED = 0x10,
    CONTROL_AUX_DISABLED = 0x20,
    CONTROL_TRANSLATE = 0x40,

    COMMAND_READ_CONTROL = 0x20,
    COMMAND_WRITE_CONTROL = 0x60,
    COMMAND_SELF_TEST = 0xaa,
    COMMAND_TEST_PORT = 0xab,
    COMMAND_DISABLE = 0xad,
    COMMAND_ENABLE = 0xae,
    COMMAND_WRITE_OUTPUT_PORT = 0xd1,
    COMMAND_WRITE_AUX = 0xd4,
    COMMAND_PULSE_RESET = 0xfe,
    SELF_TEST_PASSED = 0x55,

    KEYBOARD_LEDS = 0xed,
    KEYBOARD_ECHO = 0xee,
    KEYBOARD_SCAN_SET = 0xf0,
    KEYBOARD_IDENTIFY = 0xf2,
    KEYBOARD_RATE = 0xf3,
    KEYBOARD_ENABLE = 0xf4,
    KEYBOARD_DISABLE = 0xf5,
    KEYBOARD_DEFAULTS = 0xf6,
    KEYBOARD_RESET = 0xff,
    ANSWER_ACK = 0xfa,
    ANSWER_RESEND = 0xfe,
    ANSWER_PASSED = 0xaa,
};

/* ---- output: one byte is seen at a time ---- */

static bool full(const struct keyboard *kbd)
{
    return kbd->replies || (kbd->count > 0 && !(kbd->control & CONTROL_DISABLED));
}

/* Up as long as a byte waits; it falls between two, for a guest that takes it for an edge. */
static void update_line(struct keyboard *kbd)
{
    bool level = full(kbd) && (kbd->control & CONTROL_INTERRUPT);

    if (level == kbd->level)
        return;
    kbd->level = level;
    hv_irq_line(kbd->hv, LAYOUT_GSI_KEYBOARD, level);
}

static void reply(struct keyboard *kbd, uint8_t byte)
{
    kbd->replies = true;
    kbd->reply = byte;
}

static void push(struct keyboard *kbd, uint8_t byte)
{
    if (kbd->count == KEYBOARD_FIFO_BYTES)
        return;
    kbd->fifo[(kbd->head + kbd->count) % KEYBOARD_FIFO_BYTES] = byte;
    kbd->count++;
}

static uint8_t take(struct keyboard *kbd)
{
    uint8_t byte;

    if (kbd->level) {
        kbd->level = false;
        hv_irq_line(kbd->hv, LAYOUT_GSI_KEYBOARD, false);
    }
    if (kbd->replies) {
        kbd->replies = false;
        return kbd->reply;
    }
    if (!full(kbd))
        return 0;
    byte = kbd->fifo[kbd->head];
    kbd->head = (kbd->head + 1) % KEYBOARD_FIFO_BYTES;
    kbd->count--;
    return byte;
}

/* ---- what is written ---- */

static void keyboard_byte(struct keyboard *kbd, uint8_t byte)
{
    if (kbd->device != 0) { /* LEDs, rate, scan set: nothing to be done */
        kbd->device = 0;
        push(kbd, ANSWER_ACK);
        return;
    }
    switch (byte) {
    case KEYBOARD_LEDS:
    case KEYBOARD_SCAN_SET:
    case KEYBOARD_RATE:
        kbd->device = byte;
        push(kbd, ANSWER_ACK);
        break;
    case KEYBOARD_ECHO:
        push(kbd, KEYBOARD_ECHO);
        break;
    case KEYBOARD_IDENTIFY: /* an AT keyboard; the second byte is translated as keys are */
        push(kbd, ANSWER_ACK);
        push(kbd, 0xab);
        push(kbd, kbd->control & CONTROL_TRANSLATE ? 0x41 : 0x83);
        break;
    case KEYBOARD_ENABLE:
    case KEYBOARD_DISABLE:
        kbd->scanning = byte == KEYBOARD_ENABLE;
        push(kbd, ANSWER_ACK);
        break;
    case KEYBOARD_DEFAULTS:
        push(kbd, ANSWER_ACK);
        break;
    case KEYBOARD_RESET:
        kbd->scanning = true;
        kbd->count = 0;
        push(kbd, ANSWER_ACK);
        push(kbd, ANSWER_PASSED);
        break;
    default:
        push(kbd, ANSWER_RESEND);
        break;
    }
}

/* A byte for the output port, which has nothing to reset, or for the port that is not there is lost. */
static void write_data(struct keyboard *kbd, uint8_t byte)
{
    uint8_t command = kbd->command;

    kbd->last_was_command = false;
    kbd->command = 0;
    if (command == 0)
        keyboard_byte(kbd, byte);
    else if (command == COMMAND_WRITE_CONTROL)
        kbd->control = byte;
}

/* Whether the machine is to be reset. */
static bool write_command(struct keyboard *kbd, uint8_t byte)
{
    kbd->last_was_command = true;
    kbd->command = 0;
    switch (byte) {
    case COMMAND_READ_CONTROL:
        reply(kbd, kbd->control);
        break;
    case COMMAND_WRITE_CONTROL:
    case COMMAND_WRITE_OUTPUT_PORT:
    case COMMAND_WRITE_AUX:
        kbd->command = byte;
        break;
    case COMMAND_SELF_TEST:
        reply(kbd, SELF_TEST_PASSED);
        break;
    case COMMAND_TEST_PORT:
        reply(kbd, 0);
        break;
    case COMMAND_DISABLE:
        kbd->control |= CONTROL_DISABLED;
        break;
    case COMMAND_ENABLE:
        kbd->control &= (uint8_t)~CONTROL_DISABLED;
        break;
    case COMMAND_PULSE_RESET:
        return true;
    default:
        break;
    }
    return false;
}

/* ---- the two ports ---- */

static uint64_t data_read(void *dev, uint64_t off, unsigned size)
{
    struct keyboard *kbd = dev;
    uint8_t byte;

    (void)off, (void)size;
    pthread_mutex_lock(&kbd->lock);
    byte = take(kbd);
    update_line(kbd);
    pthread_mutex_unlock(&kbd->lock);
    return byte;
}

static void data_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct keyboard *kbd = dev;

    (void)off, (void)size;
    pthread_mutex_lock(&kbd->lock);
    write_data(kbd, (uint8_t)value);
    update_line(kbd);
    pthread_mutex_unlock(&kbd->lock);
}

static uint64_t status_read(void *dev, uint64_t off, unsigned size)
{
    struct keyboard *kbd = dev;
    uint8_t status;

    (void)off, (void)size;
    pthread_mutex_lock(&kbd->lock);
    status = (uint8_t)(STATUS_UNLOCKED | STATUS_SYSTEM | (full(kbd) ? STATUS_OUTPUT_FULL : 0) |
                       (kbd->last_was_command ? STATUS_COMMAND : 0));
    pthread_mutex_unlock(&kbd->lock);
    return status;
}

static void command_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct keyboard *kbd = dev;
    bool reset;

    (void)off, (void)size;
    pthread_mutex_lock(&kbd->lock);
    reset = write_command(kbd, (uint8_t)value);
    update_line(kbd);
    pthread_mutex_unlock(&kbd->lock);
    if (reset)
        kbd->on_reset(kbd->arg);
}

static const struct bus_ops data_ops = { .read = data_read, .write = data_write };
static const struct bus_ops command_ops = { .read = status_read, .write = command_write };

void keyboard_init(struct keyboard *kbd, struct hv *hv, void (*on_reset)(void *arg), void *arg)
{
    *kbd = (struct keyboard){ .hv = hv,
                              .control = CONTROL_SYSTEM | CONTROL_DISABLED | CONTROL_AUX_DISABLED |
                                         CONTROL_TRANSLATE,
                              .on_reset = on_reset,
                              .arg = arg };
    pthread_mutex_init(&kbd->lock, NULL);
}

int keyboard_add_to(struct keyboard *kbd, struct bus *pio)
{
    int r = bus_add(pio, LAYOUT_PIO_KEYBOARD_DATA, 1, &data_ops, kbd);

    if (r == 0)
        r = bus_add(pio, LAYOUT_PIO_KEYBOARD_COMMAND, 1, &command_ops, kbd);
    return r < 0 ? err_trace(r) : 0;
}

void keyboard_wake(struct keyboard *kbd)
{
    static const uint8_t translated[] = { 0xe0, 0x63, 0xe0, 0xe3 };
    static const uint8_t plain[] = { 0xe0, 0x5e, 0xe0, 0xf0, 0x5e };
    const uint8_t *codes = translated;
    unsigned n = sizeof translated;

    pthread_mutex_lock(&kbd->lock);
    if (!(kbd->control & CONTROL_TRANSLATE)) {
        codes = plain;
        n = sizeof plain;
    }
    if (kbd->scanning && kbd->count == 0)
        for (unsigned i = 0; i < n; i++)
            push(kbd, codes[i]);
    update_line(kbd);
    pthread_mutex_unlock(&kbd->lock);
}
