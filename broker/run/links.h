/* SPDX-License-Identifier: Apache-2.0 */
/* links.h - macvtaps, whose workers can't tell that they went down: rtnetlink does. */
#pragma once

#include "run/instance.h"

/* A macvtap's: what is in its backend.held[0] is listened to. 0, or a negative errno with an origin. */
int links_watch(struct device_ends *ends) must_check;
void links_on_change(int fd, unsigned what, void *ends);
