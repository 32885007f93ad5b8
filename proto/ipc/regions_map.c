/* SPDX-License-Identifier: Apache-2.0 */
/* regions_map.c - see regions_map.h. */
#include "ipc/regions_map.h"

#include "base/err.h"
#include "ipc/regions.h"

int regions_map(struct gmem *mem, const Bulkhead__Configure *configure, const int *fds)
{
    uint64_t end = configure->address_end;
    int r;

    if (configure->n_regions == 0) {
        r = gmem_map(mem, fds[0], configure->ram_size);
        return r < 0 ? err_trace(r) : 0;
    }
    for (size_t i = 0; i < configure->n_regions; i++)
        end = MAX(end, configure->regions[i]->guest_address + configure->regions[i]->size);
    r = gmem_init(mem, end);
    for (unsigned i = 0; i < configure->n_regions && r == 0; i++) {
        struct gmem_region region = regions_of(configure->regions[i]);

        r = gmem_add(mem, i, &region, fds[configure->regions[i]->memfd]);
    }
    if (r < 0)
        gmem_unmap(mem);
    return r < 0 ? err_trace(r) : 0;
}
