/* SPDX-License-Identifier: Apache-2.0 */
/* one_device.h - what somebody wants added to a VM that runs, as who opens it for that sees it (opener.h, launcher.h). */
#pragma once

#include "client.pb-c.h"
#include "config/fault.h"

/* *config is empty, and becomes one with that device and no other, filled and checked. What is opened by it is opened with the
 * rights of the one who asks, and so follows from his own words alone. 0, or a negative errno. */
int one_device_take(Bulkhead__VmConfig *config, const Bulkhead__VmConfig *device,
                    Bulkhead__Role *ret_role, struct fault *ret_fault) must_check;
