/* SPDX-License-Identifier: Apache-2.0 */
/* ps.h - `bulkhead ps`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_ps;
