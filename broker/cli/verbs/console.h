/* SPDX-License-Identifier: Apache-2.0 */
/* console.h - `bulkhead console`: the guest's console, which the host's service keeps. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_console;
