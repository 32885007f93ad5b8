/* SPDX-License-Identifier: Apache-2.0 */
/* top.h - `bulkhead top`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_top;
