/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug.h - the registers by which the DSDT hears of PCI slots, behind an event of the generic event
 * device, and ejects. 32 bits each, bit n for slot n, from LAYOUT_PIO_HOTPLUG on:
 *
 *   +0 up    slots whose device came; reading it clears it
 *   +4 down  slots whose device is to go, or was taken away; reading it clears it
 *   +8 eject written by _EJ0: the guest has let go of the device; reads as 0
 *
 * An access that is not one whole register reads without clearing, and writes nothing. An eject counts
 * for a slot once after its bit was up in `down`: which devices the VM has is not the guest's to say.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "platform/ged.h"

struct hotplug {
    pthread_mutex_t lock;
    struct ged *ged;
    uint32_t up, down;
    uint32_t ejectable; /* slots whose eject counts */
    /* On the vCPU thread that wrote the register; without the lock. */
    void (*on_eject)(void *arg, unsigned slot);
    void *arg;
};

void hotplug_init(struct hotplug *hotplug, struct ged *ged,
                  void (*on_eject)(void *arg, unsigned slot), void *arg);
int hotplug_add_to(struct hotplug *hotplug, struct bus *pio) must_check;
/* Any thread: there is a device in the slot now. What was said of the one before is forgotten. */
void hotplug_came(struct hotplug *hotplug, unsigned slot);
/* Any thread: the device in the slot is to go, or has gone. */
void hotplug_goes(struct hotplug *hotplug, unsigned slot);
