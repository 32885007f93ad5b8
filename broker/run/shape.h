/* SPDX-License-Identifier: Apache-2.0 */
/* shape.h - which devices the VM has by now, written down for the broker's successor when that is no longer what
 * was sealed at its start (sealed.h). Beside the record, and one piece with it (keeper.c).
 *
 * A broker that was taken over may have written it. The successor reads it in its sandbox, checks it as it
 * would a request to add those devices, and can start nothing but what the spawner's own table has. */
#pragma once

#include "run/instance.h"

enum { SHAPE_MAX_BYTES = 1 << 20 };

/* How long it is, SHAPE_MAX_BYTES at most: nothing is added that makes it longer (add.c). */
size_t shape_store(struct instance *in, uint8_t *ret_bytes);
/* After sealed_read(): configuration, plan and devices are those that were written down; no descriptor is set.
 * The bytes stay as they are meanwhile. 0, or a negative errno with an origin that names what makes no sense. */
int shape_load(struct instance *in, const uint8_t *bytes, size_t len) must_check;
