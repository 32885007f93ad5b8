/* SPDX-License-Identifier: Apache-2.0 */
/* lifecycle.h - starting, ending and forgetting VMs: those of the host's service, and stop those of `run` too. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_start;
extern const struct verb verb_stop;
extern const struct verb verb_reboot;
extern const struct verb verb_rm;
