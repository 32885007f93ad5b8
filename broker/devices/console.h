/* SPDX-License-Identifier: Apache-2.0 */
/* console.h - back ends of the serial port and the console. 0, or a negative errno with
 * one line for the user in *ret_fault. Descriptors belong to the struct they are put in. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"
#include "resources/trees.h"

/* tty: two descriptors of the client's terminal or NULL; they are reopened where possible. */
int resources_console(const struct trees *trees, const char *what,
                      const Bulkhead__ConsoleConfig *console, const int *tty,
                      struct backend *backend, struct fault *ret_fault) must_check;
