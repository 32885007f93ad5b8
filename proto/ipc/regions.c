/* SPDX-License-Identifier: Apache-2.0 */
/* regions.c - see regions.h. */
#include "ipc/regions.h"

#include <errno.h>
#include "base/err.h"

static int check_one(const Bulkhead__MemoryRegion *r)
{
    if ((r->guest_address | r->size | r->offset) % PAGE_BYTES != 0 || r->size == 0 ||
        r->size > GMEM_ADDRESS_MAX || r->guest_address > GMEM_ADDRESS_MAX - r->size ||
        r->offset > GMEM_ADDRESS_MAX)
        return err_origin(-EBADMSG, "a region of guest RAM is out of range");
    return 0;
}

static bool overlap(const Bulkhead__MemoryRegion *a, const Bulkhead__MemoryRegion *b)
{
    return a->guest_address < b->guest_address + b->size &&
           b->guest_address < a->guest_address + a->size;
}

/* Descriptors are named in the order of their first use. */
static int check_list(const Bulkhead__Configure *c)
{
    uint64_t sum = 0;
    uint32_t n_fds = 0;

    for (size_t i = 0; i < c->n_regions; i++) {
        const Bulkhead__MemoryRegion *r = c->regions[i];
        int error = check_one(r);

        if (error < 0)
            return err_trace(error);
        if (r->memfd > n_fds)
            return err_origin(-EBADMSG, "configure: region %zu is of no descriptor", i);
        n_fds = MAX(n_fds, r->memfd + 1);
        sum += r->size;
        for (size_t k = 0; k < i; k++)
            if (overlap(c->regions[k], r))
                return err_origin(-EBADMSG, "configure: regions %zu and %zu overlap", k, i);
    }
    return sum == c->ram_size ? 0 : err_origin(-EBADMSG, "configure: regions of another size");
}

int regions_check(const Bulkhead__Configure *configure, size_t n_fds)
{
    int r = 0;

    if (configure->n_regions > GMEM_MAX_REGIONS || configure->address_end > GMEM_ADDRESS_MAX ||
        configure->address_end % PAGE_BYTES != 0)
        return err_origin(-EBADMSG, "configure: guest RAM is out of range");
    if (configure->n_regions > 0)
        r = check_list(configure);
    if (r < 0)
        return err_trace(r);
    return regions_fds(configure) <= n_fds ? 0 : err_origin(-EBADMSG, "configure without RAM");
}

int regions_check_number(uint32_t number)
{
    return number < GMEM_MAX_REGIONS ? 0 : err_origin(-EBADMSG, "region %u", number);
}

int regions_check_add(const Bulkhead__AddRegion *add)
{
    int r = regions_check_number(add->number);

    if (r == 0 && (!add->region || add->region->memfd != 0))
        r = err_origin(-EBADMSG, "a region without its place");
    if (r == 0)
        r = check_one(add->region);
    return r < 0 ? err_trace(r) : 0;
}

struct gmem_region regions_of(const Bulkhead__MemoryRegion *region)
{
    return (struct gmem_region){ .base = region->guest_address,
                                 .len_bytes = region->size,
                                 .file_offset = region->offset,
                                 .zone = region->zone };
}

unsigned regions_fds(const Bulkhead__Configure *configure)
{
    unsigned n = configure->ram_size > 0;

    for (size_t i = 0; i < configure->n_regions; i++)
        n = MAX(n, configure->regions[i]->memfd + 1);
    return n;
}

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
