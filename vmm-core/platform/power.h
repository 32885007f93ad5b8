/* SPDX-License-Identifier: Apache-2.0 */
/* power.h - how the guest ends and how it is asked to: the hardware-reduced ACPI sleep and reset
 * registers, and the generic event device (GED) with the power button. Ports and values are in
 * layout.h.
 *
 * The GED's interrupt is a level: the line is up as long as the register holds an event, so nothing
 * is lost to a guest that has it masked. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "kvm/irq.h"

enum power_event { POWER_OFF, POWER_RESET };

struct power {
    pthread_mutex_t lock;
    struct hv *hv;
    uint32_t ged_status; /* LAYOUT_GED_* bits, cleared when the guest reads them */
    uint8_t sleep_control;
    /* On the vCPU thread that wrote the register. */
    void (*on_event)(void *arg, enum power_event event);
    void *arg;
};

void power_init(struct power *power, struct hv *hv,
                void (*on_event)(void *arg, enum power_event event), void *arg);
int power_add_to(struct power *power, struct bus *pio) must_check;
/* Any thread. Pressing it again before the guest has looked is one press. */
void power_button(struct power *power);
