/* SPDX-License-Identifier: Apache-2.0 */
/* gmem.c - see gmem.h. */
#include "shm/gmem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "base/err.h"
#include "shm/layout.h"

/* Maps len bytes of the memfd between two inaccessible guards. */
static int map_guarded(int fd, uint64_t offset, uint64_t len, uint8_t **ret_host)
{
    /* 2 MiB guards keep the region aligned for huge pages. */
    const uint64_t guard = 2u << 20;
    uint8_t *area =
        mmap(NULL, len + 3 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *host;

    if (area == MAP_FAILED)
        return err_origin(-errno, "reserving address space for guest RAM");
    host = area + (align_up((uintptr_t)area + guard, guard) - (uintptr_t)area);
    if (mmap(host, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
        MAP_FAILED) {
        int r = -errno;

        munmap(area, len + 3 * guard);
        return err_origin(r, "mapping guest RAM");
    }
    /* The guards stay reserved for the life of the process. */
    *ret_host = host;
    return 0;
}

static void add_region(struct gmem *mem, uint64_t base, uint8_t *host, uint64_t len)
{
    mem->regions[mem->n_regions++] =
        (struct gmem_region){ .base = base, .len_bytes = len, .host_ = host };
}

int gmem_map(struct gmem *mem, int ram_fd, uint64_t ram_size)
{
    uint64_t low = MIN(ram_size, LAYOUT_LOW_RAM_MAX);
    uint8_t *host = NULL;
    int r;

    if (ram_size == 0 || ram_size % PAGE_BYTES != 0 || ram_size > LAYOUT_RAM_MAX_BYTES)
        return err_origin(-EINVAL, "guest RAM of %llu bytes", (unsigned long long)ram_size);
    *mem = (struct gmem){ 0 };
    r = map_guarded(ram_fd, 0, low, &host);
    if (r < 0)
        return err_trace(r);
    add_region(mem, 0, host, low);
    if (ram_size > low) {
        r = map_guarded(ram_fd, low, ram_size - low, &host);
        if (r < 0) {
            gmem_unmap(mem);
            return err_trace(r);
        }
        add_region(mem, LAYOUT_HIGH_RAM_BASE, host, ram_size - low);
    }
    return 0;
}

void gmem_advise_huge(struct gmem *mem, bool wanted)
{
    for (unsigned i = 0; i < mem->n_regions; i++)
        madvise(mem->regions[i].host_, mem->regions[i].len_bytes,
                wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void gmem_unmap(struct gmem *mem)
{
    for (unsigned i = 0; i < mem->n_regions; i++)
        munmap(mem->regions[i].host_, mem->regions[i].len_bytes);
    mem->n_regions = 0;
}

int gmem_add_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes)
{
    if (mem->n_regions == GMEM_MAX_REGIONS)
        return -ENOSPC;
    add_region(mem, base, host, len_bytes);
    return 0;
}

void gmem_init_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes)
{
    *mem = (struct gmem){ 0 };
    add_region(mem, base, host, len_bytes);
}

int gmem_slice(const struct gmem *mem, gpa_t addr, uint64_t len, struct gslice *ret_slice)
{
    for (unsigned i = 0; i < mem->n_regions; i++) {
        const struct gmem_region *region = &mem->regions[i];
        uint64_t off;

        if (addr.v < region->base)
            continue;
        off = addr.v - region->base;
        if (off >= region->len_bytes || len > region->len_bytes - off)
            continue;
        *ret_slice = (struct gslice){ .ptr_ = region->host_ + off, .len_ = (size_t)len };
        return 0;
    }
    return GMEM_E_RANGE;
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
    return r;
}

void gmem_mark_written(struct gmem *mem, const struct iovec *iov, size_t n_iov, size_t len_bytes)
{
    /* Nothing tracks dirty pages yet; every caller is already in place for when something does. */
    (void)mem;
    (void)iov;
    (void)n_iov;
    (void)len_bytes;
}

int gslice_discard(struct gslice slice)
{
    if (madvise(slice.ptr_, slice.len_, MADV_REMOVE) < 0)
        return err_origin(-errno, "giving guest RAM back");
    return 0;
}

uint64_t gslice_address(const struct gmem *mem, struct gslice slice)
{
    for (unsigned i = 0; i < mem->n_regions; i++) {
        const struct gmem_region *region = &mem->regions[i];

        if (slice.ptr_ >= region->host_ && slice.ptr_ < region->host_ + region->len_bytes)
            return region->base + (uint64_t)(slice.ptr_ - region->host_);
    }
    return UINT64_MAX;
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
    if (off + 2 <= slice.len_)
        __atomic_store_n(cell16(slice, off), v, __ATOMIC_RELAXED);
}

void gslice_store16_release(struct gslice slice, size_t off, uint16_t v)
{
    if (off + 2 <= slice.len_)
        __atomic_store_n(cell16(slice, off), v, __ATOMIC_RELEASE);
}
