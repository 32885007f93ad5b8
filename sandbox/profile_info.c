/* SPDX-License-Identifier: Apache-2.0 */
/* profile_info.c - see profile_info.h. */
#include "sandbox/profile_info.h"

#include "sandbox/gen/filter_balloon.h"
#include "sandbox/gen/filter_blk.h"
#include "sandbox/gen/filter_broker.h"
#include "sandbox/gen/filter_console.h"
#include "sandbox/gen/filter_console_log.h"
#include "sandbox/gen/filter_core_control.h"
#include "sandbox/gen/filter_core_vcpu.h"
#include "sandbox/gen/filter_gateway.h"
#include "sandbox/gen/filter_holder.h"
#include "sandbox/gen/filter_hostd.h"
#include "sandbox/gen/filter_loader.h"
#include "sandbox/gen/filter_net.h"
#include "sandbox/gen/filter_rng.h"
#include "sandbox/gen/filter_start.h"
#include "sandbox/gen/filter_vsock.h"

const struct sandbox_filter *sandbox_profile_info(enum sandbox_profile_id profile)
{
    static const struct sandbox_filter *const all[SANDBOX_PROFILE__MAX] = {
        [SANDBOX_BROKER] = &sandbox_filter_broker,
        [SANDBOX_LOADER] = &sandbox_filter_loader,
        [SANDBOX_CORE_CONTROL] = &sandbox_filter_core_control,
        [SANDBOX_CORE_VCPU] = &sandbox_filter_core_vcpu,
        [SANDBOX_BLK] = &sandbox_filter_blk,
        [SANDBOX_RNG] = &sandbox_filter_rng,
        [SANDBOX_CONSOLE] = &sandbox_filter_console,
        [SANDBOX_NET] = &sandbox_filter_net,
        [SANDBOX_VSOCK] = &sandbox_filter_vsock,
        [SANDBOX_BALLOON] = &sandbox_filter_balloon,
        [SANDBOX_HOLDER] = &sandbox_filter_holder,
        [SANDBOX_CONSOLE_LOG] = &sandbox_filter_console_log,
        [SANDBOX_HOSTD] = &sandbox_filter_hostd,
        [SANDBOX_GATEWAY] = &sandbox_filter_gateway,
        [SANDBOX_START] = &sandbox_filter_start,
    };

    return (unsigned)profile < SANDBOX_PROFILE__MAX ? all[profile] : NULL;
}
