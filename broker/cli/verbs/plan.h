/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - `bulkhead plan`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_plan;
