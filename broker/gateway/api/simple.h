/* SPDX-License-Identifier: Apache-2.0 */
/* simple.h - requests that are one question to the broker. Each takes a call that it frees when it is done. */
#pragma once

#include "api/call.h"

void simple_ping(struct call *call);
void simple_info(struct call *call);
void simple_counters(struct call *call);
void simple_pause(struct call *call);
void simple_resume(struct call *call);
void simple_power_button(struct call *call);
/* The VM ends, and who serves it too. */
void simple_stop(struct call *call);
void simple_resize(struct call *call);
void simple_remove_device(struct call *call);
