/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c - see pace.h. */
#include "hostd/run/pace.h"

#include <stdio.h>
#include <string.h>
#include "base/compiler.h"

#define S UINT64_C(1000000000)

/* Where there is no room the first that owes nothing makes way, else the first. */
static struct pace *find(struct paces *paces, const char *tenant, uint64_t now)
{
    struct pace *spare = &paces->of[0];

    for (unsigned i = 0; i < paces->n; i++) {
        if (strcmp(paces->of[i].name, tenant) == 0)
            return &paces->of[i];
        if (paces->of[i].full_ns <= now)
            spare = &paces->of[i];
    }
    if (paces->n < PACE_MAX)
        spare = &paces->of[paces->n++];
    *spare = (struct pace){ 0 };
    snprintf(spare->name, sizeof spare->name, "%s", tenant);
    return spare;
}

uint64_t pace_take_one(struct pace *p, uint32_t per_s, uint64_t now)
{
    uint64_t each = S / MAX(per_s, 1u), burst = MAX(each, PACE_BURST_MS * UINT64_C(1000000));

    if (p->full_ns < now)
        p->full_ns = now;
    if (p->full_ns + each > now + burst)
        return p->full_ns + each - burst;
    p->full_ns += each;
    return 0;
}

uint64_t pace_take(struct paces *paces, const char *tenant, uint32_t per_s, uint64_t now)
{
    return pace_take_one(find(paces, tenant, now), per_s, now);
}
