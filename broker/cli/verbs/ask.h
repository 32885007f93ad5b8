/* SPDX-License-Identifier: Apache-2.0 */
/* ask.h - `bulkhead ask` and `return`: a device for the guest that calls. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_ask, verb_return;
