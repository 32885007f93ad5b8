/* SPDX-License-Identifier: Apache-2.0 */
/* tally.c - see tally.h. */
#include "hostd/rules/tally.h"

#include <stdio.h>
#include <string.h>

uint64_t tally_next(struct tally *tally, const char *tenant)
{
    unsigned at = 0, oldest = 0;

    while (at < tally->n && strcmp(tally->of[at].name, tenant) != 0) {
        if (tally->of[at].last < tally->of[oldest].last)
            oldest = at;
        at++;
    }
    if (at == tally->n) {
        at = tally->n < TALLY_MAX ? tally->n++ : oldest;
        memset(&tally->of[at], 0, sizeof tally->of[at]);
        snprintf(tally->of[at].name, sizeof tally->of[at].name, "%s", tenant);
    }
    tally->of[at].last = ++tally->all;
    return ++tally->of[at].n;
}
