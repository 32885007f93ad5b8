/* SPDX-License-Identifier: Apache-2.0 */
/* create.h - `bulkhead create`: describes a VM to the host's service. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_create;
