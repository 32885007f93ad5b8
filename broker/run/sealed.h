/* SPDX-License-Identifier: Apache-2.0 */
/* sealed.h - what was true when the VM was opened, before the broker's sandbox: the configuration, the host,
 * what each device's back end is. A sealed memfd, which the broker's successor can believe. */
#pragma once

#include "run/instance.h"

int sealed_write(struct instance *in, int *ret_fd) must_check;
/* Fills what instance_init() left empty, plan and devices among it; no descriptor is set. 0, or a negative
 * errno with an origin: another build's, or none. */
int sealed_read(struct instance *in, int fd) must_check;
