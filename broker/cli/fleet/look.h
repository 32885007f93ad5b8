/* SPDX-License-Identifier: Apache-2.0 */
/* look.h - how the VMs of a fleet stand at the host's service. */
#pragma once

#include "fleet/fleet.h"
#include "host_client.h"

struct look {
    bool there;
    Bulkhead__HostVmState state;
    uint64_t started_ns; /* CLOCK_REALTIME; 0: never */
    const char *ended;   /* how it ended last, in words; NULL: it never did */
    const char *differs; /* what is described otherwise; NULL: nothing */
};

/* What the manifest describes, as the service takes it. It points into the VM. */
Bulkhead__VmSpec look_spec(struct fleet_vm *vm);
/* Of VmDetails. Texts are in the fleet's bag. */
struct look look_at_details(struct fleet *fleet, struct fleet_vm *vm,
                            const Bulkhead__VmDetails *details);
/* All of them, one after the other; n looks in the fleet's bag. EXIT_OK, or what to end with: it was said why. */
int look_at_all(struct fleet *fleet, struct host *host, struct look **ret_looks);
