/* SPDX-License-Identifier: Apache-2.0 */
/* group.c - see group.h. */
#include "config/group.h"

#include <string.h>

Bulkhead__RateLimitGroup *group_find(const Bulkhead__VmConfig *c, const char *id)
{
    for (size_t i = 0; i < c->n_rate_limit_groups; i++)
        if (strcmp(c->rate_limit_groups[i]->id, id) == 0)
            return c->rate_limit_groups[i];
    return NULL;
}

Bulkhead__RateLimitGroup *group_of_disk(const Bulkhead__VmConfig *c,
                                        const Bulkhead__DiskConfig *disk)
{
    return disk->rate_limit_group[0] != '\0' ? group_find(c, disk->rate_limit_group) : NULL;
}
