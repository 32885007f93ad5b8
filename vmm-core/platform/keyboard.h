/* SPDX-License-Identifier: Apache-2.0 */
/* keyboard.h - an 8042 with a keyboard that has one key, Wake: the one thing that wakes a Linux guest
 * from suspend-to-idle without being told to beforehand, since its driver of the event device never
 * lets that wake it. Also the 8042's reset line, for guests that know nothing else.
 *
 * No auxiliary port. What a driver asks a keyboard is answered as an AT keyboard does. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "kvm/irq.h"

enum { KEYBOARD_FIFO_BYTES = 16 };

struct keyboard {
    pthread_mutex_t lock;
    struct hv *hv;
    uint8_t control; /* the command byte */
    uint8_t command; /* of the controller, that waits for its data byte; 0: none */
    uint8_t device;  /* of the keyboard, the same */
    bool last_was_command;
    bool scanning; /* the driver has enabled the keyboard */
    bool level;    /* of the interrupt line */
    bool replies;  /* the controller's reply waits, before what is in the FIFO */
    uint8_t reply;
    uint8_t fifo[KEYBOARD_FIFO_BYTES];
    unsigned head, count;
    /* On the vCPU thread that wrote the register. */
    void (*on_reset)(void *arg);
    void *arg;
};

void keyboard_init(struct keyboard *kbd, struct hv *hv, void (*on_reset)(void *arg), void *arg);
int keyboard_add_to(struct keyboard *kbd, struct bus *pio) must_check;
/* Any thread. Presses and releases the key, if a driver listens and has taken what came before. */
void keyboard_wake(struct keyboard *kbd);
