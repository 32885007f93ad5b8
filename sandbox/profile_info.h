/* SPDX-License-Identifier: Apache-2.0 */
/* profile_info.h - all compiled profiles, for audit, doctor and tests; in bh_sandbox_info, not in
 * bh_sandbox: children link their own alone. */
#pragma once

#include "sandbox/seccomp.h"

/* NULL when there is no such profile. */
const struct sandbox_filter *sandbox_profile_info(enum sandbox_profile_id profile);
