/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - a network device at work; the functions with a void * are those of struct worker_ops. */
#pragma once

#include "net_device.h"

/* Before the sandbox, when all ports are set: the watches, none of them active, and the timer. 0 or
 * negative errno. */
int net_watch(struct net *net) must_check;
int net_activate(void *device, uint64_t features, bool resume) must_check;
int net_on_queue(void *device, unsigned q) must_check;
/* Whether the tap has frames only the kernel can tell: it is asked with every few looks. */
enum worker_found net_poll(void *device);
void net_drain(void *device);
void net_reset(void *device);
int net_on_message(void *device, const Bulkhead__Envelope *e, int *fds, unsigned n_fds);
