/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - `bulkhead run`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_run;
