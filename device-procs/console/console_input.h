/* SPDX-License-Identifier: Apache-2.0 */
/* console_input.h - what is typed, on its way from the backend to the front end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "console_device.h"

/* Reads what the backend has and gives it to the front end. The host's side waits while the guest
 * takes nothing. With the escape keys it waits for CONSOLE_DEAF_MS, then it is read and dropped, so
 * that Ctrl-A x works however deaf the guest is. Returns false when it stopped for want of room. */
bool console_input_pump(struct console *console);
/* Bytes that the front end has room for, with the escape keys taken into account. */
size_t console_input_room(struct console *console);
