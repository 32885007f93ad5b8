/* SPDX-License-Identifier: Apache-2.0 */
/* all.h - every profile, by id. */
#pragma once

#include "profile.h"

extern const struct profile *const profile_all[SANDBOX_PROFILE__MAX];
