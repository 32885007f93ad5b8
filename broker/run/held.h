/* SPDX-License-Identifier: Apache-2.0 */
/* held.h - what the broker holds of a device for itself, and listens to: rtnetlink of a macvtap, the link to the
 * process that keeps the file of an added device's socket. */
#pragma once

#include "run/instance.h"

/* Nothing to do where there is neither. 0, or a negative errno with an origin. */
int held_watch(struct instance *in, unsigned number) must_check;
/* Of all that there are; from then on also of one that is added. */
int held_watch_all(struct instance *in) must_check;
