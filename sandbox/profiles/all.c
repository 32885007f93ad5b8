/* SPDX-License-Identifier: Apache-2.0 */
/* all.c - see all.h. */
#include "all.h"

/* Each is in the file of its name, and for nobody but this table. */
extern const struct profile profile_broker, profile_loader, profile_core_control, profile_core_vcpu,
    profile_blk, profile_rng, profile_console, profile_net, profile_vsock, profile_balloon,
    profile_holder, profile_console_log, profile_hostd, profile_gateway, profile_start;

const struct profile *const profile_all[SANDBOX_PROFILE__MAX] = {
    [SANDBOX_BROKER] = &profile_broker,
    [SANDBOX_LOADER] = &profile_loader,
    [SANDBOX_CORE_CONTROL] = &profile_core_control,
    [SANDBOX_CORE_VCPU] = &profile_core_vcpu,
    [SANDBOX_BLK] = &profile_blk,
    [SANDBOX_RNG] = &profile_rng,
    [SANDBOX_CONSOLE] = &profile_console,
    [SANDBOX_NET] = &profile_net,
    [SANDBOX_VSOCK] = &profile_vsock,
    [SANDBOX_BALLOON] = &profile_balloon,
    [SANDBOX_HOLDER] = &profile_holder,
    [SANDBOX_CONSOLE_LOG] = &profile_console_log,
    [SANDBOX_HOSTD] = &profile_hostd,
    [SANDBOX_GATEWAY] = &profile_gateway,
    [SANDBOX_START] = &profile_start,
};
