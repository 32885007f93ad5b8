/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - what tells a running VM's broker one thing. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_repair;
extern const struct verb verb_upgrade;
extern const struct verb verb_pause;
extern const struct verb verb_resume;
extern const struct verb verb_power_button;
