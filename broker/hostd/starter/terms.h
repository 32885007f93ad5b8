/* SPDX-License-Identifier: Apache-2.0 */
/* terms.h - who the tenants are: tenants.pb, which root alone, or the user whose service this is, may write. The starter
 * reads it by itself, so that a hostd that was taken over can't say who is who. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "config/fault.h"
#include "host.pb-c.h"

enum { TERMS_MAX_TENANTS = 256, TERMS_MAX_TREES = 32, TERMS_MAX_IDS = 4096 };

struct terms {
    Bulkhead__HostConfig *config;
    uint8_t *bytes; /* the same, packed */
    size_t len;
};

/* What the file says, or without one that all is the host's own. A file that isn't well leaves *terms as it is, and *ret_fault says
 * what is wrong with it; a tree that isn't there is wrong with a file that takes the place of another. dir: of the service's
 * configuration. */
int terms_read(struct terms *terms, const char *dir, struct fault *ret_fault) must_check;
void terms_clear(struct terms *terms);
/* NULL: there is none of that name. */
const Bulkhead__Tenant *terms_find(const struct terms *terms, const char *name);

/* Of what the file says, for tests; uid: of the service. */
int terms_check(const Bulkhead__HostConfig *config, uint32_t uid,
                struct fault *ret_fault) must_check;
/* Descriptors (O_PATH) of the tenant's trees, TERMS_MAX_TREES at most, in their order; none on failure. */
int terms_open_trees(const Bulkhead__Tenant *tenant, int *ret_fds,
                     struct fault *ret_fault) must_check;
