/* SPDX-License-Identifier: Apache-2.0 */
/* serial.c - see serial.h. Registers as in National's PC16550D data sheet. */
#include "platform/serial.h"

#include "base/err.h"
#include "base/fd.h"
#include "shm/layout.h"

enum {
    REG_DATA = 0, /* RBR/THR, or divisor low */
    REG_IER = 1,  /* or divisor high */
    REG_IIR = 2,  /* FCR when written */
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCRATCH = 7,

    IER_RX = 1,
    IER_TX = 2,
    IER_LINE = 4,
    IER_MODEM = 8,
    IIR_NONE = 0x01,
    IIR_MODEM = 0x00,
    IIR_TX = 0x02,
    IIR_RX = 0x04,
    IIR_LINE = 0x06,
    IIR_RX_TIMEOUT = 0x0c,
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 1,
    FCR_CLEAR_RX = 2,
    FCR_TRIGGER = 0xc0,
    LCR_DLAB = 0x80,
    MCR_DTR = 1,
    MCR_RTS = 2,
    MCR_OUT1 = 4,
    MCR_OUT2 = 8,
    MCR_LOOP = 0x10,
    LSR_DATA = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_TX_EMPTY = 0x60, /* holding register and shifter: bytes leave at once */
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
};

static unsigned rx_depth(const struct serial *s)
{
    return s->fcr & FCR_ENABLE ? SERIAL_FIFO_BYTES : 1;
}

static void rx_push(struct serial *s, uint8_t byte)
{
    if (s->rx_count >= rx_depth(s)) {
        s->overrun = true;
        return;
    }
    s->rx[(s->rx_head + s->rx_count) % SERIAL_FIFO_BYTES] = byte;
    s->rx_count++;
}

/* Moves what fits from the ring to the FIFO; the worker is told, it may be waiting for room. */
static void rx_fill(struct serial *s)
{
    uint8_t bytes[SERIAL_FIFO_BYTES];
    size_t n;

    if (!s->to_guest.shared || (s->mcr & MCR_LOOP) || s->rx_count >= rx_depth(s))
        return;
    n = byte_ring_peek(&s->to_guest, bytes, rx_depth(s) - s->rx_count);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        rx_push(s, bytes[i]);
    byte_ring_consume(&s->to_guest, n);
    fd_event_signal(s->to_worker_fd);
}

static unsigned rx_trigger(const struct serial *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };

    return s->fcr & FCR_ENABLE ? levels[(s->fcr & FCR_TRIGGER) >> 6] : 1;
}

/* The interrupt with the highest priority, IIR_NONE if there is none. A byte below the trigger
 * level counts as timed out at once: time is not simulated. */
static uint8_t interrupt_id(const struct serial *s)
{
    if ((s->ier & IER_LINE) && s->overrun)
        return IIR_LINE;
    if ((s->ier & IER_RX) && s->rx_count > 0)
        return s->rx_count >= rx_trigger(s) ? IIR_RX : IIR_RX_TIMEOUT;
    if ((s->ier & IER_TX) && s->thr_pending)
        return IIR_TX;
    if ((s->ier & IER_MODEM) && s->msr_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update_line(struct serial *s)
{
    bool level = interrupt_id(s) != IIR_NONE;

    if (level == s->level)
        return;
    s->level = level;
    hv_irq_line(s->hv, LAYOUT_GSI_SERIAL, level);
}

/* The transmitter is empty again at once, which is a new event each time: an edge-triggered
 * interrupt controller has to see the line fall in between. */
static void transmit(struct serial *s, uint8_t byte)
{
    s->thr_pending = false;
    update_line(s);
    if (s->mcr & MCR_LOOP) {
        rx_push(s, byte);
    } else if (s->to_worker.shared) {
        if (byte_ring_put(&s->to_worker, &byte, 1) == 0)
            byte_ring_drop(&s->to_worker, 1);
        fd_event_signal(s->to_worker_fd);
    }
    s->thr_pending = true;
}

static uint8_t modem_lines(const struct serial *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_DCD | MSR_DSR | MSR_CTS;
    return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static uint8_t read_data(struct serial *s)
{
    uint8_t byte;

    if (s->rx_count == 0)
        return 0;
    byte = s->rx[s->rx_head];
    s->rx_head = (s->rx_head + 1) % SERIAL_FIFO_BYTES;
    s->rx_count--;
    rx_fill(s);
    return byte;
}

static uint8_t read_iir(struct serial *s)
{
    uint8_t id = interrupt_id(s);

    if (id == IIR_TX)
        s->thr_pending = false;
    return (uint8_t)(id | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct serial *s)
{
    uint8_t lsr =
        (uint8_t)(LSR_TX_EMPTY | (s->rx_count > 0 ? LSR_DATA : 0) | (s->overrun ? LSR_OVERRUN : 0));

    s->overrun = false;
    return lsr;
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
    uint8_t value;

    switch (reg) {
    case REG_DATA:
        return s->lcr & LCR_DLAB ? (uint8_t)s->divisor : read_data(s);
    case REG_IER:
        return s->lcr & LCR_DLAB ? (uint8_t)(s->divisor >> 8) : s->ier;
    case REG_IIR:
        return read_iir(s);
    case REG_LCR:
        return s->lcr;
    case REG_MCR:
        return s->mcr;
    case REG_LSR:
        return read_lsr(s);
    case REG_MSR:
        value = modem_lines(s) | s->msr_delta;
        s->msr_delta = 0;
        return value;
    default:
        return s->scratch;
    }
}

/* A driver empties the FIFO several times as it starts. What was typed before waits in the ring, as
 * if the line were stopped meanwhile, and the part of it that is in the FIFO already stays too. */
static void write_fcr(struct serial *s, uint8_t value)
{
    bool switched = (s->fcr ^ value) & FCR_ENABLE;

    s->fcr = value & (FCR_ENABLE | FCR_TRIGGER);
    if ((switched || (value & FCR_CLEAR_RX)) && (s->mcr & MCR_LOOP))
        s->rx_head = s->rx_count = 0;
    rx_fill(s);
}

static void write_ier(struct serial *s, uint8_t value)
{
    uint8_t enabled = value & (uint8_t)~s->ier;

    s->ier = value & 0x0f;
    if (enabled & IER_TX)
        s->thr_pending = true;
}

static void write_mcr(struct serial *s, uint8_t value)
{
    uint8_t before = modem_lines(s);
    uint8_t changed;

    s->mcr = value & 0x1f;
    changed = before ^ modem_lines(s);
    /* Each line has its change bit four below; RI's tells only of its end. */
    if (changed & MSR_RI && modem_lines(s) & MSR_RI)
        changed &= (uint8_t)~MSR_RI;
    s->msr_delta |= changed >> 4;
    rx_fill(s);
}

static void write_register(struct serial *s, unsigned reg, uint8_t value)
{
    switch (reg) {
    case REG_DATA:
        if (s->lcr & LCR_DLAB)
            s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
        else
            transmit(s, value);
        break;
    case REG_IER:
        if (s->lcr & LCR_DLAB)
            s->divisor = (uint16_t)((s->divisor & 0x00ff) | value << 8);
        else
            write_ier(s, value);
        break;
    case REG_IIR:
        write_fcr(s, value);
        break;
    case REG_LCR:
        s->lcr = value;
        break;
    case REG_MCR:
        write_mcr(s, value);
        break;
    case REG_SCRATCH:
        s->scratch = value;
        break;
    default: /* line and modem status are read-only */
        break;
    }
}

static uint64_t on_read(void *dev, uint64_t off, unsigned size)
{
    struct serial *s = dev;
    uint64_t value = 0;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_register(s, (unsigned)off + i) << (8 * i);
    update_line(s);
    pthread_mutex_unlock(&s->lock);
    return value;
}

static void on_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct serial *s = dev;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < size; i++)
        write_register(s, (unsigned)off + i, (uint8_t)(value >> (8 * i)));
    update_line(s);
    pthread_mutex_unlock(&s->lock);
}

static const struct bus_ops serial_ops = { .read = on_read, .write = on_write };

void serial_init(struct serial *serial, struct hv *hv, struct serial_shared *shared,
                 int to_worker_fd)
{
    *serial = (struct serial){ .hv = hv, .to_worker_fd = to_worker_fd, .divisor = 1 };
    pthread_mutex_init(&serial->lock, NULL);
    if (!shared)
        return;
    byte_ring_attach_producer(&serial->to_worker, &shared->to_worker);
    byte_ring_attach_consumer(&serial->to_guest, &shared->to_guest);
}

int serial_add_to(struct serial *serial, struct bus *pio)
{
    return bus_add(pio, LAYOUT_PIO_SERIAL, SERIAL_PORTS, &serial_ops, serial);
}

void serial_on_input(struct serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    rx_fill(serial);
    update_line(serial);
    pthread_mutex_unlock(&serial->lock);
}
