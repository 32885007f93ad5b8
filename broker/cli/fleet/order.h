/* SPDX-License-Identifier: Apache-2.0 */
/* order.h - what only all VMs of a fleet together say: who waits for whom, and who has what another has. */
#pragma once

#include "fleet/fleet.h"

/* What a path leads to, whatever it is called; false: nobody knows. */
typedef bool (*order_identify_fn)(const char *path, uint64_t *ret_dev, uint64_t *ret_ino);

/* Finds those that each VM waits for, and its wave; adds to the faults names that are taken, VMs that aren't there, circles,
 * what two VMs can't have at once, and rights over VMs that aren't there. */
void order_check(struct fleet *fleet, order_identify_fn identify);
unsigned order_n_waves(const struct fleet *fleet);
