/* SPDX-License-Identifier: Apache-2.0 */
/* perform.h - an action becomes an effect. */
#pragma once

#include "run/instance.h"

/* What comes of it, a failure too, is an event: true and *ret_event. */
bool perform(struct instance *in, const struct action *action, struct event *ret_event);
