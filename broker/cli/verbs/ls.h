/* SPDX-License-Identifier: Apache-2.0 */
/* ls.h - `bulkhead ls`: the VMs of the caller. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_ls;
