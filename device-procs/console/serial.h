/* SPDX-License-Identifier: Apache-2.0 */
/* serial.h - the serial port's bytes, through two rings in shared memory. */
#pragma once

#include "console_device.h"

/* fds: [serial memfd][eventfd to_worker][eventfd to_guest]; what is kept of them is taken. Sets the
 * console's front end. 0 or negative errno. */
enum { SERIAL_FDS = 3 };
int serial_new(struct console *console, int *fds) must_check;
