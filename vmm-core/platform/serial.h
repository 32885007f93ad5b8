/* SPDX-License-Identifier: Apache-2.0 */
/* serial.h - a 16550A at the ports of layout.h. What the guest sends goes into a byte ring that the
 * console worker empties; what comes the other way is announced by an eventfd. The guest is never
 * held up: bytes that the worker is too slow for are dropped and counted in the ring. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "kvm/irq.h"
#include "shm/byte_ring.h"

enum { SERIAL_PORTS = 8, SERIAL_FIFO_BYTES = 16 };

struct serial {
    pthread_mutex_t lock;
    struct hv *hv;
    struct byte_ring to_worker, to_guest;
    int to_worker_fd; /* eventfd that the worker waits on */
    uint8_t ier, lcr, mcr, msr_delta, fcr, scratch;
    uint16_t divisor;
    bool thr_pending; /* transmitter-empty interrupt, until the guest reads IIR */
    bool overrun;
    bool level; /* of the interrupt line */
    uint8_t rx[SERIAL_FIFO_BYTES];
    unsigned rx_head, rx_count;
};

/* `shared` may be NULL (no console): then nothing is ever received and bytes sent are lost. */
void serial_init(struct serial *serial, struct hv *hv, struct serial_shared *shared,
                 int to_worker_fd);
int serial_add_to(struct serial *serial, struct bus *pio) must_check;
/* The control thread's: the worker has put bytes into the ring. */
void serial_on_input(struct serial *serial);
