/* SPDX-License-Identifier: Apache-2.0 */
/* net_again.h - the interface of a network device that was deleted and made again. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"

/* A tap: the same descriptors, and with them whoever else has them, are queues of the new one. In the broker's
 * sandbox. After an error none takes frames of an interface that somebody else has; held[1] may be closed then.
 * 0, or a negative errno with one line for the user in *ret_fault. */
int resources_net_attach_again(const Bulkhead__NetConfig *net, struct backend *backend,
                               struct fault *ret_fault) must_check;
