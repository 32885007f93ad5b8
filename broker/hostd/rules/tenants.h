/* SPDX-License-Identifier: Apache-2.0 */
/* tenants.h - who the tenants are, and what each may have: tenants.pb, as it was read. */
#pragma once

#include <stdbool.h>
#include "config/allowed.h"
#include "config/fault.h"
#include "host.pb-c.h"
#include "hostd/rules/facts.h"

enum {
    TENANTS_MAX_TENANTS = 256,
    /* What the service itself sets where a quota says nothing. */
    TENANTS_CONNECTIONS = 128,
    TENANTS_REQUESTS_PER_S = 1000,
    /* Of all who speak for no tenant together. */
    TENANTS_STRANGERS = 16,
    TENANTS_STRANGERS_PER_S = 50,
};

/* 0, or -EINVAL with one line: a tenant without a usable name, twice the same, one uid of two tenants. */
int tenants_check(const Bulkhead__HostConfig *config, struct fault *f) must_check;
/* NULL: there is none of that name. */
const Bulkhead__Tenant *tenants_find(const Bulkhead__HostConfig *config, const char *name);
/* Whom that user speaks for: his uid says it, else the first of his groups that does. NULL: nobody. */
const Bulkhead__Tenant *tenants_who(const Bulkhead__HostConfig *config, uint32_t uid,
                                    const uint32_t *gids, unsigned n_gids);
uint32_t tenants_connections(const Bulkhead__Tenant *tenant);
uint32_t tenants_requests_per_s(const Bulkhead__Tenant *tenant);
/* What happens to that tenant's VMs, or to the service itself (""). */
bool tenants_may_hear(const Bulkhead__Tenant *tenant, const char *of);
/* What its VMs may have; its texts are the tenant's. */
struct allowed tenants_allowed(const Bulkhead__Tenant *tenant);
/* By its text alone: absolute, without "..", below one of the tenant's trees. */
bool tenants_allow_path(const Bulkhead__Tenant *tenant, const char *path);
