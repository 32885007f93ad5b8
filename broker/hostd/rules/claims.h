/* SPDX-License-Identifier: Apache-2.0 */
/* claims.h - disks, interfaces, sockets and consoles' files: which VM of the service has which. */
#pragma once

#include "config/fault.h"
#include "hostd/rules/facts.h"

/* Those that the configuration names. 0 or -ENOMEM. */
int claims_of_config(const Bulkhead__VmConfig *config, struct claims *ret) must_check;
/* Adds what the VM's broker says that it has by now, and which files the names stood for when they were opened. */
int claims_of_plan(const Bulkhead__VmPlan *plan, struct claims *claims) must_check;
/* Has no other VM, which is up, any of them? A broker may have been taken over: what it says counts among the VMs of its own
 * tenant, owner; between tenants only what their descriptions say. 0, or -EBUSY with one line, which names the other VM to
 * who may see it (asker), and to nobody else. */
int claims_check(const struct host *host, const struct host_vm *vm, const char *owner,
                 const struct claims *claims, const Bulkhead__Tenant *asker,
                 struct fault *f) must_check;
