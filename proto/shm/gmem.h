/* SPDX-License-Identifier: Apache-2.0 */
/* gmem.h - guest RAM as regions, with checked access. Trusts no address and no length.
 *
 * Raw pointers into guest RAM do not leave gmem.c, but for struct gslice, which only gmem.c and
 * the I/O paths that hand memory to the kernel (iovec) may open. All writes of ours go through
 * gmem_write() / gslice_write() / gmem_store*(); what the kernel writes for us (DMA by read(2),
 * io_uring) is announced by gmem_mark_written(): the one place for dirty tracking to hook.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/compiler.h"

typedef struct {
    uint64_t v;
} gpa_t; /* guest-physical address: not an integer, not a pointer */

#define GPA(x) ((gpa_t){ .v = (x) })

enum { GMEM_E_RANGE = 1 }; /* positive: the guest named memory it does not have */
enum { GMEM_MAX_REGIONS = 4 };

/* A piece of guest RAM that was checked to lie within one region. */
struct gslice {
    uint8_t *ptr_; /* trailing _ : see above */
    size_t len_;
};

struct gmem_region {
    uint64_t base; /* guest-physical */
    uint64_t len_bytes;
    uint8_t *host_;
};

struct gmem {
    struct gmem_region regions[GMEM_MAX_REGIONS];
    unsigned n_regions;
};

/* Maps the whole memfd of ram_size bytes (multiple of PAGE_BYTES), split around the 32-bit hole as
 * layout.h says, with inaccessible guard pages at both ends of each region. The fd stays the
 * caller's and may be closed afterwards. */
int gmem_map(struct gmem *mem, int ram_fd, uint64_t ram_size) must_check;
/* Whether the kernel shall back it by transparent huge pages, as far as the host's settings for
 * shared memory have any. Advice: it never fails. */
void gmem_advise_huge(struct gmem *mem, bool wanted);
void gmem_unmap(struct gmem *mem);
/* Regions over caller-owned memory, for tests. */
void gmem_init_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes);
int gmem_add_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes);

/* 0 or GMEM_E_RANGE. A range that crosses the end of a region is refused, len 0 is valid at any
 * address inside a region. */
int gmem_slice(const struct gmem *mem, gpa_t addr, uint64_t len,
               struct gslice *ret_slice) must_check;
int gmem_read(const struct gmem *mem, gpa_t addr, void *dst, size_t len) must_check;
int gmem_write(struct gmem *mem, gpa_t addr, const void *src, size_t len) must_check;
int gmem_zero(struct gmem *mem, gpa_t addr, size_t len) must_check;

int gslice_read(struct gslice slice, size_t off, void *dst, size_t len) must_check;
int gslice_write(struct gslice slice, size_t off, const void *src, size_t len) must_check;
/* For readv/writev and io_uring only. */
static inline struct iovec gslice_iovec(struct gslice slice)
{
    return (struct iovec){ .iov_base = slice.ptr_, .iov_len = slice.len_ };
}
void gmem_mark_written(struct gmem *mem, const struct iovec *iov, size_t n_iov, size_t len_bytes);
/* Gives the host its memory: the guest reads zeroes there from now on. Whole pages, else more or less
 * goes; 0 or a negative errno. */
int gslice_discard(struct gslice slice) must_check;
/* Guest-physical, of a checked slice. */
uint64_t gslice_address(const struct gmem *mem, struct gslice slice);

/* Little-endian 16-bit cells shared with the guest (ring indices): single, untorn accesses. */
uint16_t gslice_load16(struct gslice slice, size_t off); /* relaxed */
uint16_t gslice_load16_acquire(struct gslice slice, size_t off);
void gslice_store16(struct gslice slice, size_t off, uint16_t v);
void gslice_store16_release(struct gslice slice, size_t off, uint16_t v);
