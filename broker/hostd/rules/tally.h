/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h - how many events there were of each tenant: the number of one says nothing of the others'. */
#pragma once

#include <stdint.h>
#include "client/hostdir.h"

enum { TALLY_MAX = 257 }; /* all tenants, and the service itself */

struct tally {
    struct {
        char name[HOSTDIR_TENANT_BYTES];
        uint64_t n, last; /* last: its age among all */
    } of[TALLY_MAX];
    unsigned n;
    uint64_t all;
};

/* One more of that tenant's: its number. Where there is no room who had none for longest makes way, and begins anew. */
uint64_t tally_next(struct tally *tally, const char *tenant);
