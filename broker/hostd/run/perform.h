/* SPDX-License-Identifier: Apache-2.0 */
/* perform.h - actions become effects. */
#pragma once

#include "hostd/run/service.h"

/* Does it; true: *ret_next is what came of it, and happens after all of this step's actions. */
bool perform(struct service *s, const struct host_action *action, struct host_event *ret_next);
