/* SPDX-License-Identifier: Apache-2.0 */
/* follow.h - `bulkhead events`: what happens, as it happens. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_events;
