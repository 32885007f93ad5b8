/* SPDX-License-Identifier: Apache-2.0 */
/* gmem.c - see gmem.h. */
#include "shm/gmem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "base/err.h"
#include "shm/layout.h"

#define GUARD (2ull << 20) /* keeps what lies between two of them aligned for huge pages */
#define LOG_WORD_BITS 64u

/* ---- the table ---- */

uint64_t gmem_log_bytes(const struct gmem *mem)
{
    return align_up(mem->end, GMEM_LOG_PAGE_BYTES * LOG_WORD_BITS) / GMEM_LOG_PAGE_BYTES / 8;
}

/* Gives a range of what is reserved back its inaccessible state, whatever lies there. */
static int vacate(void *at, size_t len)
{
    return mmap(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                0) == MAP_FAILED
               ? -errno
               : 0;
}

static int occupy(void *at, size_t len, int fd, uint64_t offset)
{
    return mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
                   MAP_FAILED
               ? -errno
               : 0;
}

int gmem_init(struct gmem *mem, uint64_t end)
{
    uint64_t window, total;
    uint8_t *area;

    if (end == 0 || end % PAGE_BYTES != 0 || end > GMEM_ADDRESS_MAX)
        return err_origin(-EINVAL, "guest RAM up to address %#llx", (unsigned long long)end);
    *mem = (struct gmem){ .end = end };
    window = align_up(end, GUARD);
    total = window + 3 * GUARD + align_up(gmem_log_bytes(mem), PAGE_BYTES);
    area = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return err_origin(-errno, "reserving address space for guest RAM");
    mem->reserved_ = area;
    mem->reserved_bytes = total;
    mem->window_ = area + (align_up((uintptr_t)area + GUARD, GUARD) - (uintptr_t)area);
    mem->log_place_ = (uint64_t *)(void *)(mem->window_ + window + GUARD);
    return 0;
}

static bool overlaps(const struct gmem_region *a, uint64_t base, uint64_t len)
{
    return a->len_bytes != 0 && base < a->base + a->len_bytes && a->base < base + len;
}

static int check_region(const struct gmem *mem, unsigned number, const struct gmem_region *r)
{
    if (number >= GMEM_MAX_REGIONS || mem->regions[number].len_bytes != 0)
        return err_origin(-EINVAL, "guest RAM region %u is taken", number);
    if (r->len_bytes == 0 || (r->base | r->len_bytes | r->file_offset) % PAGE_BYTES != 0 ||
        r->file_offset > INT64_MAX - r->len_bytes)
        return err_origin(-EINVAL, "guest RAM region %u is not of pages", number);
    if (r->base >= mem->end || r->len_bytes > mem->end - r->base)
        return err_origin(-ENOSPC, "no address space for guest RAM region %u", number);
    for (unsigned i = 0; i < mem->n_regions; i++)
        if (overlaps(&mem->regions[i], r->base, r->len_bytes))
            return err_origin(-EINVAL, "guest RAM regions %u and %u overlap", i, number);
    return 0;
}

static void put_region(struct gmem *mem, unsigned number, const struct gmem_region *region,
                       uint8_t *host)
{
    mem->regions[number] = *region;
    mem->regions[number].host_ = host;
    mem->regions[number].log_ = mem->log_;
    mem->n_regions = MAX(mem->n_regions, number + 1);
}

int gmem_add(struct gmem *mem, unsigned number, const struct gmem_region *region, int fd)
{
    int r = check_region(mem, number, region);

    if (r < 0)
        return err_trace(r);
    r = occupy(mem->window_ + region->base, region->len_bytes, fd, region->file_offset);
    if (r < 0)
        return err_origin(r, "mapping guest RAM");
    put_region(mem, number, region, mem->window_ + region->base);
    return 0;
}

int gmem_remove(struct gmem *mem, unsigned number)
{
    struct gmem_region *region;
    int r;

    if (number >= mem->n_regions || mem->regions[number].len_bytes == 0)
        return err_origin(-EINVAL, "there is no guest RAM region %u", number);
    region = &mem->regions[number];
    r = vacate(region->host_, region->len_bytes);
    if (r < 0)
        return err_origin(r, "taking guest RAM away");
    *region = (struct gmem_region){ 0 };
    while (mem->n_regions > 0 && mem->regions[mem->n_regions - 1].len_bytes == 0)
        mem->n_regions--;
    return 0;
}

int gmem_map(struct gmem *mem, int ram_fd, uint64_t ram_size)
{
    uint64_t low = MIN(ram_size, LAYOUT_LOW_RAM_MAX), high = ram_size - low;
    struct gmem_region regions[] = {
        { .base = 0, .len_bytes = low },
        { .base = LAYOUT_HIGH_RAM_BASE, .len_bytes = high, .file_offset = low },
    };
    int r;

    if (ram_size == 0 || ram_size % PAGE_BYTES != 0 || ram_size > LAYOUT_RAM_MAX_BYTES)
        return err_origin(-EINVAL, "guest RAM of %llu bytes", (unsigned long long)ram_size);
    r = gmem_init(mem, high > 0 ? LAYOUT_HIGH_RAM_BASE + high : low);
    if (r < 0)
        return err_trace(r);
    for (unsigned i = 0; i < ARRAY_SIZE(regions) && r == 0; i++)
        if (regions[i].len_bytes > 0)
            r = gmem_add(mem, i, &regions[i], ram_fd);
    if (r < 0)
        gmem_unmap(mem);
    return r < 0 ? err_trace(r) : 0;
}

void gmem_advise_huge(struct gmem *mem, bool wanted)
{
    for (unsigned i = 0; i < mem->n_regions; i++)
        if (mem->regions[i].len_bytes != 0)
            madvise(mem->regions[i].host_, mem->regions[i].len_bytes,
                    wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void gmem_unmap(struct gmem *mem)
{
    if (mem->reserved_)
        munmap(mem->reserved_, mem->reserved_bytes);
    *mem = (struct gmem){ 0 };
}

int gmem_add_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes)
{
    struct gmem_region region = { .base = base, .len_bytes = len_bytes };

    if (mem->n_regions == GMEM_MAX_REGIONS)
        return -ENOSPC;
    put_region(mem, mem->n_regions, &region, host);
    return 0;
}

void gmem_init_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes)
{
    struct gmem_region region = { .base = base, .len_bytes = len_bytes };

    *mem = (struct gmem){ 0 };
    put_region(mem, 0, &region, host);
}

/* ---- the dirty log ---- */

static void use_log(struct gmem *mem, uint64_t *log)
{
    mem->log_ = log;
    for (unsigned i = 0; i < mem->n_regions; i++)
        mem->regions[i].log_ = log;
}

int gmem_set_log(struct gmem *mem, int fd, uint64_t len_bytes)
{
    const uint64_t needed = gmem_log_bytes(mem);
    int r;

    if (fd >= 0 && (len_bytes % sizeof(uint64_t) != 0 || len_bytes < needed))
        return err_origin(-EINVAL, "a dirty log of %llu bytes, not %llu",
                          (unsigned long long)len_bytes, (unsigned long long)needed);
    if (fd >= 0)
        r = occupy(mem->log_place_, needed, fd, 0);
    else
        r = mem->log_ ? vacate(mem->log_place_, align_up(needed, PAGE_BYTES)) : 0;
    if (r < 0)
        return err_origin(r, "mapping the dirty log");
    use_log(mem, fd >= 0 ? mem->log_place_ : NULL);
    return 0;
}

void gmem_set_log_for_test(struct gmem *mem, uint64_t *log)
{
    use_log(mem, log);
}

/* The one place that knows which bytes were written. The bits are set after the bytes (release), so
 * that who clears a bit and then reads the page finds them. Always by an OR: a bit that looks set may
 * be on its way to being cleared by somebody who has read the page already. */
__attribute__((noinline, cold)) static void mark_pages(const struct gmem_region *region,
                                                       const uint8_t *at, size_t len)
{
    uint64_t first = (region->base + (uint64_t)(at - region->host_)) / GMEM_LOG_PAGE_BYTES;
    uint64_t last = (region->base + (uint64_t)(at - region->host_) + len - 1) / GMEM_LOG_PAGE_BYTES;

    for (uint64_t word = first / LOG_WORD_BITS; word <= last / LOG_WORD_BITS; word++) {
        uint64_t bits = UINT64_MAX;

        if (word == first / LOG_WORD_BITS)
            bits &= UINT64_MAX << (first % LOG_WORD_BITS);
        if (word == last / LOG_WORD_BITS)
            bits &= UINT64_MAX >> (LOG_WORD_BITS - 1 - last % LOG_WORD_BITS);
        __atomic_fetch_or(&region->log_[word], bits, __ATOMIC_SEQ_CST);
    }
}

static inline void mark(const struct gmem_region *region, const uint8_t *at, size_t len)
{
    if (__builtin_expect(region && region->log_, 0) && len > 0)
        mark_pages(region, at, len);
}

static const struct gmem_region *region_of_host(const struct gmem *mem, const uint8_t *at)
{
    for (unsigned i = 0; i < mem->n_regions; i++) {
        const struct gmem_region *region = &mem->regions[i];

        if (region->len_bytes != 0 && at >= region->host_ &&
            (uint64_t)(at - region->host_) < region->len_bytes)
            return region;
    }
    return NULL;
}

void gmem_mark_written(struct gmem *mem, const struct iovec *iov, size_t n_iov, size_t len_bytes)
{
    if (!mem->log_)
        return;
    for (size_t i = 0; i < n_iov && len_bytes > 0; i++) {
        const uint8_t *at = iov[i].iov_base;
        size_t len = MIN(iov[i].iov_len, len_bytes);

        mark(region_of_host(mem, at), at, len);
        len_bytes -= len;
    }
}

void gslice_mark_written(struct gslice slice)
{
    mark(slice.region_, slice.ptr_, slice.len_);
}

/* ---- checked access ---- */

static inline const struct gmem_region *region_at(const struct gmem *mem, uint64_t addr)
{
    const struct gmem_region *end = mem->regions + mem->n_regions;

    for (const struct gmem_region *region = mem->regions; region < end; region++)
        if (addr - region->base < region->len_bytes) /* what lies below wraps and is too far */
            return region;
    return NULL;
}

static inline struct gslice slice_of(const struct gmem_region *region, uint64_t off, uint64_t len)
{
    return (struct gslice){ .ptr_ = region->host_ + off, .len_ = (size_t)len, .region_ = region };
}

/* From one region into those that follow it; out of the way of the others, which are nearly all. */
__attribute__((noinline, cold)) static int slice_across(const struct gmem *mem,
                                                        const struct gmem_region *first,
                                                        uint64_t off, uint64_t len,
                                                        struct gslice *ret_slice)
{
    const struct gmem_region *region = first;
    uint64_t left = len - (first->len_bytes - off);

    while (left > 0) {
        const struct gmem_region *next = region_at(mem, region->base + region->len_bytes);

        if (!next || next->host_ != region->host_ + region->len_bytes)
            return GMEM_E_RANGE;
        left -= MIN(left, next->len_bytes);
        region = next;
    }
    *ret_slice = slice_of(first, off, len);
    return 0;
}

int gmem_slice(const struct gmem *mem, gpa_t addr, uint64_t len, struct gslice *ret_slice)
{
    const struct gmem_region *region = region_at(mem, addr.v);

    if (!region)
        return GMEM_E_RANGE;
    if (len > region->len_bytes - (addr.v - region->base))
        return slice_across(mem, region, addr.v - region->base, len, ret_slice);
    *ret_slice = slice_of(region, addr.v - region->base, len);
    return 0;
}

int gslice_discard(struct gslice slice)
{
    if (madvise(slice.ptr_, slice.len_, MADV_REMOVE) < 0)
        return err_origin(-errno, "giving guest RAM back");
    gslice_mark_written(slice);
    return 0;
}

uint64_t gslice_address(struct gslice slice)
{
    return slice.region_->base + (uint64_t)(slice.ptr_ - slice.region_->host_);
}

bool gslice_touches(const struct gmem *mem, struct gslice slice, unsigned number)
{
    return number < mem->n_regions && slice.len_ > 0 &&
           overlaps(&mem->regions[number], gslice_address(slice), slice.len_);
}

/* The guest may rewrite what is copied, and read what is written, at any time: a copy holds some
 * mixture of bytes, which whoever reads it must check as a whole. ThreadSanitizer is told so by
 * atomic bytes; all other accesses to guest RAM it may report. */
#ifdef __SANITIZE_THREAD__
static void copy_racing(uint8_t *dst, const uint8_t *src, size_t len)
{
    for (size_t i = 0; i < len; i++)
        __atomic_store_n(&dst[i], __atomic_load_n(&src[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

static void zero_racing(uint8_t *dst, size_t len)
{
    for (size_t i = 0; i < len; i++)
        __atomic_store_n(&dst[i], 0, __ATOMIC_RELAXED);
}
#else
static void copy_racing(uint8_t *dst, const uint8_t *src, size_t len)
{
    memcpy(dst, src, len);
}

static void zero_racing(uint8_t *dst, size_t len)
{
    memset(dst, 0, len);
}
#endif

int gslice_read(struct gslice slice, size_t off, void *dst, size_t len)
{
    if (off > slice.len_ || len > slice.len_ - off)
        return GMEM_E_RANGE;
    if (len > 0)
        copy_racing(dst, slice.ptr_ + off, len);
    return 0;
}

int gslice_write(struct gslice slice, size_t off, const void *src, size_t len)
{
    if (off > slice.len_ || len > slice.len_ - off)
        return GMEM_E_RANGE;
    if (len > 0)
        copy_racing(slice.ptr_ + off, src, len);
    mark(slice.region_, slice.ptr_ + off, len);
    return 0;
}

int gmem_read(const struct gmem *mem, gpa_t addr, void *dst, size_t len)
{
    struct gslice slice;
    int r = gmem_slice(mem, addr, len, &slice);

    return r != 0 ? r : gslice_read(slice, 0, dst, len);
}

int gmem_write(struct gmem *mem, gpa_t addr, const void *src, size_t len)
{
    struct gslice slice;
    int r = gmem_slice(mem, addr, len, &slice);

    return r != 0 ? r : gslice_write(slice, 0, src, len);
}

int gmem_zero(struct gmem *mem, gpa_t addr, size_t len)
{
    struct gslice slice;
    int r = gmem_slice(mem, addr, len, &slice);

    if (r == 0 && len > 0)
        zero_racing(slice.ptr_, len);
    if (r == 0)
        mark(slice.region_, slice.ptr_, len);
    return r;
}

/* Ring cells are 16-bit aligned because vq_activate() refuses rings that aren't. */
static uint16_t *cell16(struct gslice slice, size_t off)
{
    return (uint16_t *)(void *)(slice.ptr_ + off);
}

uint16_t gslice_load16(struct gslice slice, size_t off)
{
    return off + 2 <= slice.len_ ? __atomic_load_n(cell16(slice, off), __ATOMIC_RELAXED) : 0;
}

uint16_t gslice_load16_acquire(struct gslice slice, size_t off)
{
    return off + 2 <= slice.len_ ? __atomic_load_n(cell16(slice, off), __ATOMIC_ACQUIRE) : 0;
}

void gslice_store16(struct gslice slice, size_t off, uint16_t v)
{
    if (off + 2 > slice.len_)
        return;
    __atomic_store_n(cell16(slice, off), v, __ATOMIC_RELAXED);
    mark(slice.region_, slice.ptr_ + off, sizeof v);
}

void gslice_store16_release(struct gslice slice, size_t off, uint16_t v)
{
    if (off + 2 > slice.len_)
        return;
    __atomic_store_n(cell16(slice, off), v, __ATOMIC_RELEASE);
    mark(slice.region_, slice.ptr_ + off, sizeof v);
}
