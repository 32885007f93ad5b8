/* SPDX-License-Identifier: Apache-2.0 */
/* vouch.h - who the service is leaves word of what he describes to it.
 *
 * A VM of the host's own tenant has the service's own rights, root's for instance, and hostd's word is not enough for that: its
 * launcher wants a copy of the configuration, in the service's state, where hostd can't write (broker/run/vouched.h). It is written by
 * whoever may write there, and calls that service his own; all others have no need of it, and are none the worse for it. */
#pragma once

#include "host_client.h"

/* Of one service. */
struct voucher {
    char tenant[HOSTDIR_TENANT_BYTES]; /* the caller's; "": there is nothing to be vouched for */
};

struct vouch {
    char tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES];
    char file[32];  /* "": none was needed */
    bool was_there; /* a VM of that name, before */
};

/* Asks who the caller is, if need be, while nothing else is asked. creates: not only vouch_end() follows. 0, or a negative errno as of host_client.h. */
int vouch_begin(struct host *host, bool creates, struct voucher *ret_voucher) must_check;
/* Before a CreateVm with that configuration. */
int vouch_for(const struct voucher *voucher, const Bulkhead__VmConfig *config,
              struct vouch *ret_vouch) must_check;
/* After it; failed: takes it back, unless there is a VM all the same (it was kept, and didn't start). */
void vouch_settle(const struct vouch *vouch, bool failed);
/* The VM was removed: whatever the service makes of that, it is not vouched for any more. */
void vouch_end(const struct voucher *voucher, const char *vm);
