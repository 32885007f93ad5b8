/* SPDX-License-Identifier: Apache-2.0 */
/* set.h - `bulkhead set`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_set;
