/* SPDX-License-Identifier: Apache-2.0 */
/* happen.h - an event goes through the rules, and what follows is done. */
#pragma once

#include "hostd/run/service.h"

/* service->happen() and the timer of deadlines. */
int happen_init(struct service *s) must_check;
