/* SPDX-License-Identifier: Apache-2.0 */
/* ged.h - the generic event device (ACPI 6.4 section 5.6.9): one interrupt, and one register with a
 * bit for each kind of event, LAYOUT_GED_*. The guest's _EVT reads it, which clears it.
 *
 * The interrupt is a level: the line is up as long as the register holds an event, so nothing is lost
 * to a guest that has it masked. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "kvm/irq.h"

struct ged {
    pthread_mutex_t lock;
    struct hv *hv;
    uint32_t status; /* LAYOUT_GED_* bits */
};

void ged_init(struct ged *ged, struct hv *hv);
int ged_add_to(struct ged *ged, struct bus *pio) must_check;
/* events: LAYOUT_GED_* bits. Any thread. What is raised again before the guest has looked is one event. */
void ged_raise(struct ged *ged, uint32_t events);
