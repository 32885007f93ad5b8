/* SPDX-License-Identifier: Apache-2.0 */
/* logs.h - `bulkhead logs`: what the host's service has kept of a VM's console, or of its processes' log. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_logs;
