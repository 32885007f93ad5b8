/* SPDX-License-Identifier: Apache-2.0 */
/* guest_service.h - the host's service as the guest of one of its VMs reaches it, if that has a named right: over its vsock. */
#pragma once

#include "base/compiler.h"

/* What says so: "vsock", or "vsock:CID:PORT". `bulkhead --service` sets it. */
#define GUEST_SERVICE_VARIABLE "BULKHEAD_SERVICE"

/* NULL: the service is on this host. */
const char *guest_service_where(void);
/* 0 with a stream that is the caller's, or a negative errno with an origin. */
int guest_service_connect(const char *where, int *ret_fd) must_check;
