/* SPDX-License-Identifier: Apache-2.0 */
/* regions.c - see regions.h. */
#include "ipc/regions.h"

#include <errno.h>
#include "base/err.h"

int regions_check(const Bulkhead__Configure *configure, size_t n_fds)
{
    uint64_t sum = 0;
    uint32_t named = 0; /* descriptors, in the order of their first use */

    if (configure->n_regions > GMEM_MAX_REGIONS)
        return err_origin(-EBADMSG, "configure: %zu regions of guest RAM", configure->n_regions);
    for (size_t i = 0; i < configure->n_regions; i++) {
        const Bulkhead__MemoryRegion *r = configure->regions[i];

        if (r->memfd > named)
            return err_origin(-EBADMSG, "configure: region %zu is of no descriptor", i);
        named = MAX(named, r->memfd + 1);
        sum += r->size;
    }
    if (configure->n_regions > 0 && sum != configure->ram_size)
        return err_origin(-EBADMSG, "configure: regions of another size");
    return regions_fds(configure) <= n_fds ? 0 : err_origin(-EBADMSG, "configure without RAM");
}

struct gmem_region regions_of(const Bulkhead__MemoryRegion *region)
{
    return (struct gmem_region){ .base = region->guest_address,
                                 .len_bytes = region->size,
                                 .file_offset = region->offset };
}

unsigned regions_fds(const Bulkhead__Configure *configure)
{
    unsigned n = configure->ram_size > 0;

    for (size_t i = 0; i < configure->n_regions; i++)
        n = MAX(n, configure->regions[i]->memfd + 1);
    return n;
}
