/* SPDX-License-Identifier: Apache-2.0 */
/* power.h - how the guest ends: the sleep and reset registers of hardware-reduced ACPI. Ports and values
 * are in layout.h. How it is asked to: ged.h. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"

enum power_event { POWER_OFF, POWER_RESET };

struct power {
    uint8_t sleep_control;
    /* On the vCPU thread that wrote the register. */
    void (*on_event)(void *arg, enum power_event event);
    void *arg;
};

void power_init(struct power *power, void (*on_event)(void *arg, enum power_event event),
                void *arg);
int power_add_to(struct power *power, struct bus *pio) must_check;
