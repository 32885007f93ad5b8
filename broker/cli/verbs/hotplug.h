/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug.h - devices of a VM that runs. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_add, verb_remove;
