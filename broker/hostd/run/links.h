/* SPDX-License-Identifier: Apache-2.0 */
/* links.h - the service's own sessions with VM brokers, and with the launchers that start them. */
#pragma once

#include "hostd/run/service.h"

int links_new(struct service *s) must_check;
void links_free(struct service *s);
/* A channel for that VM's launcher, with RunVm in it, or, of one that runs, with AddDevice of the device that its guest asked for:
 * its other end for the starter, or a negative errno with an origin. */
int links_launch(struct service *s, const struct host_vm *vm) must_check;
/* Nothing is expected of it any more. */
void links_drop_launch(struct service *s, uint64_t vm);
/* fd leads to the VM's broker: takes it over, asks what there is and subscribes. */
int links_join(struct service *s, uint64_t vm, int fd) must_check;
void links_drop(struct service *s, uint64_t vm);
/* False: it can't be told now. */
bool links_tell(struct service *s, uint64_t vm, Bulkhead__ClientEnvelope__BodyCase body);
/* One end of a line of its guest's, which stays the caller's. */
int links_give_line(struct service *s, uint64_t vm, int fd) must_check;
/* On a descriptor that leads to a broker, before a client gets it. */
int links_limit(struct service *s, int fd, const struct session_limits *limits) must_check;
