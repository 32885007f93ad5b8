/* SPDX-License-Identifier: Apache-2.0 */
/* worker_main.h - the start of every device process. */
#pragma once

#include "worker_ops.h"

/* The whole of main(): the start as worker_ops.h says, then the loop; ends the process. Returns, with a status
 * for main(), only if the process was not started as a device's (no control socket, unknown arguments). */
int worker_main(const struct worker_ops *ops, int argc, char **argv);
