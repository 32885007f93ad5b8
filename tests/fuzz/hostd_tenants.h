// SPDX-License-Identifier: Apache-2.0
// hostd_tenants.h - who the tenants are, for hostd.c.
#pragma once

#include "host.pb-c.h"

enum { VMS_OF_ACME = 3, VCPUS_OF_ACME = 2 };

// acme (uid 1, with those quotas), beta (uid 2) and ops (root, the host's own); on the heap.
Bulkhead__HostConfig *hostd_tenants(void);
/* A vsock, a right over a and b, and its disk, if it has one, to be asked for. */
void hostd_give_rights(Bulkhead__VmSpec *spec);
