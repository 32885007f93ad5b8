/* SPDX-License-Identifier: Apache-2.0 */
/* happen.h - an event is carried out: vm_step(), its actions, and what comes of them. */
#pragma once

#include "run/instance.h"

/* Within another event it waits until that is done. event->envelope and event->command must not then be
 * set: they are their caller's. */
void happen(struct instance *in, const struct event *event);
