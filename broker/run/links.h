/* SPDX-License-Identifier: Apache-2.0 */
/* links.h - macvtaps, whose workers can't tell that they went down: rtnetlink does. */
#pragma once

#include "run/instance.h"

/* Before the broker's sandbox; the devices are open. Nothing to do without a macvtap. */
int links_watch(struct instance *in, struct fault *ret_fault) must_check;
/* The same with a socket that the broker before has opened; takes it over. */
int links_go_on(struct instance *in, int fd) must_check;
void links_on_change(int fd, unsigned what, void *instance);
