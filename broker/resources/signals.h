/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - SIGTERM, SIGINT and SIGHUP end a VM, in order: the broker tells its processes to
 * leave and waits for them. Whoever sends these signals may send them to all processes of the VM
 * at once, as systemd does. So they disturb nobody else: the spawner takes them as its order only
 * when there is no broker, and ours among its children ignore them (sandbox_spawn()). */
#pragma once

#include "base/compiler.h"

/* First thing in the broker, and in the spawner. What was ignored or blocked by whoever started us
 * is so no more, but SIGPIPE is ignored; the three above wait until they are read. */
void signals_init(void);
/* *ret_fd: where they are read, owned by the caller. After signals_init(). */
int signals_open(int *ret_fd) must_check;
/* The name of the next one ("SIGTERM"), or NULL when there is none. */
const char *signals_take(int fd);
