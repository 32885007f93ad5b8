/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h - `bulkhead audit`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_audit;
