/* SPDX-License-Identifier: Apache-2.0 */
/* fleet.h - `bulkhead fleet`: VMs that come up together. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_fleet;
