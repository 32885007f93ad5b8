/* SPDX-License-Identifier: Apache-2.0 */
/* brokers.h - what VM brokers say, and the launchers for them. */
#pragma once

#include "hostd/rules/facts.h"

/* Numbers of what is asked on the service's own session with a broker. */
enum {
    BROKERS_SUBSCRIBE = 1,
    BROKERS_PLAN,
    BROKERS_LIST,
    BROKERS_BUTTON,
    BROKERS_STOP,
    BROKERS_REMOVE
};
/* A session that ends sooner is no sign that the next one lasts. */
enum { BROKERS_STAYS_MS = 1000 };

void brokers_launched(struct host *host, struct host_vm *vm, const struct fault *fault);
void brokers_launcher_gone(struct host *host, struct host_vm *vm);
void brokers_said(struct host *host, struct host_vm *vm, const Bulkhead__ClientEnvelope *said);
void brokers_link_lost(struct host *host, struct host_vm *vm);
