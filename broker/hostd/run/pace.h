/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - how many requests a second each tenant may make, over all of his connections. */
#pragma once

#include <stdint.h>
#include "client/hostdir.h"

enum { PACE_MAX = 257, PACE_BURST_MS = 250 }; /* so much of a second's may come at once */

struct pace {
    char name[HOSTDIR_TENANT_BYTES];
    uint64_t full_ns; /* when all that was taken is made up for */
};

struct paces {
    struct pace of[PACE_MAX];
    unsigned n;
};

/* One more of that tenant ("": of nobody's)? 0: yes, it is counted; else when to ask again. */
uint64_t pace_take(struct paces *paces, const char *tenant, uint32_t per_s, uint64_t now);
/* The same of one pace alone, whose name says nothing. */
uint64_t pace_take_one(struct pace *pace, uint32_t per_s, uint64_t now);
