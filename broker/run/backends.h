/* SPDX-License-Identifier: Apache-2.0 */
/* backends.h - opens what one device needs, by its kind and with this process's rights: for those who open in a
 * broker's place (opener.h, launcher.h). */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"
#include "plan/plan.h"
#include "resources/trees.h"

/* trees: where paths are resolved (resources/trees.h). device: its role and index, and pci_slot 0 for the serial port. fds: of a network of mode fd, taken over. The backend
 * is as backend_init() leaves it, and ended by backend_deinit() also after an error. */
int backends_open(const struct trees *trees, Bulkhead__VmConfig *config,
                  const struct plan_device *device, int *fds, unsigned n_fds,
                  struct backend *backend, struct fault *ret_fault) must_check;
