/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h - sockets, the spawner, heartbeats and timers become events. */
#pragma once

#include "run/instance.h"

/* From now on; the spawner's reports are read. */
int watch_begin(struct instance *in) must_check;
/* SIGTERM, SIGINT and SIGHUP end the VM; after signals_init(). */
int watch_signals(struct instance *in) must_check;
void watch_on_message(int fd, unsigned what, void *port);
/* wait_code, wait_status: as waitid() gave them; 0, 0: unknown. oom: the kernel killed it for want of memory. What it
 * said last is heard first. */
void watch_exited(struct instance *in, struct port *port, int wait_code, int wait_status, bool oom);
/* error: a positive errno. */
void watch_not_started(struct instance *in, struct port *port, int error, const char *why);
/* Periodic: heartbeats. */
void watch_on_tick(int fd, unsigned what, void *instance);
/* "killed by signal 9 (Killed)", "left with status 1", ... */
void watch_describe_exit(int wait_code, int wait_status, char *ret_text, size_t size);
/* passt has opened its ports and shut itself in, or is gone, or can't be asked. */
bool watch_passt_settled(const struct port *passt, pid_t pid, uint64_t started_ns);
