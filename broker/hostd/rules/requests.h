/* SPDX-License-Identifier: Apache-2.0 */
/* requests.h - what tenants may ask, as one table. */
#pragma once

#include "hostd/rules/facts.h"

void request_take(struct host *host, struct session *session, const struct host_event *event);
/* Is there a row for it? */
bool request_is_known(Bulkhead__HostEnvelope__BodyCase body);
/* May who speaks for that tenant (NULL: nobody) know of it? The one place that says so. */
bool request_may_see(const struct host *host, const struct session *session,
                     const struct host_vm *vm);
/* The same of what is told to those who follow. */
bool request_may_hear(const struct host *host, const struct session *session,
                      const struct host_action *notice);
