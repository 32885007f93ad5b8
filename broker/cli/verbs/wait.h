/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h - `bulkhead wait`: until a VM has ended. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_wait;
