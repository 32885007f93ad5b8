/* SPDX-License-Identifier: Apache-2.0 */
/* requests.h - what tenants may ask, as one table. */
#pragma once

#include "hostd/rules/facts.h"

void request_take(struct host *host, struct session *session, const struct host_event *event);
/* Is there a row for it? */
bool request_is_known(Bulkhead__HostEnvelope__BodyCase body);
/* May who speaks for that tenant (NULL: nobody) know of it? The one place that says so. */
bool request_may_see(const Bulkhead__Tenant *tenant, const struct host_vm *vm);
