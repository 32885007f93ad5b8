/* SPDX-License-Identifier: Apache-2.0 */
/* gmem.h - guest RAM as a table of regions, with checked access. Trusts no address and no length.
 *
 * A region is a piece of a memfd at a guest address; its number is its index. The table may change
 * while the guest runs. All regions lie in one reserved window of this process, each as far from its
 * begin as it is from guest address 0: what is contiguous for the guest is contiguous here, so a
 * buffer may cross from one region into the next, and what is not guest RAM can't be accessed.
 *
 * Raw pointers into guest RAM do not leave gmem.c, but for struct gslice, which only gmem.c and
 * the I/O paths that hand memory to the kernel (iovec) may open. All writes of ours go through
 * gmem_write() / gmem_zero() / gslice_write() / gslice_store*(). What the kernel writes for us
 * (read(2), io_uring, holes) is announced when it has been written and before the guest is told, by
 * gmem_mark_written() / gslice_mark_written(). All of these set the pages' bits in the dirty log,
 * if there is one; docs/adr/0007-guest-ram-is-a-table.md.
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
enum { GMEM_MAX_REGIONS = 32 };
#define GMEM_ADDRESS_MAX (1ull << 41) /* no region ends above; what the dirty log's place is for */
#define GMEM_LOG_PAGE_BYTES 4096ull   /* of one bit: VHOST_LOG_PAGE */

struct gmem_region {
    uint64_t base;        /* guest-physical */
    uint64_t len_bytes;   /* 0: this number is free */
    uint64_t file_offset; /* in its memfd */
    uint8_t *host_;
    uint64_t *log_; /* the dirty log's first word; NULL: off */
};

/* A piece of guest RAM that was checked to lie within regions that follow each other. */
struct gslice {
    uint8_t *ptr_; /* trailing _ : see above */
    size_t len_;
    const struct gmem_region *region_; /* in which it begins; NULL only of a test's own memory */
};

/* Slices point into it: it stays where it is. */
struct gmem {
    struct gmem_region regions[GMEM_MAX_REGIONS]; /* by number */
    unsigned n_regions;                           /* one above the highest number in use */
    uint64_t end;                                 /* guest-physical: the window's */
    uint8_t *window_;                             /* guest address 0 */
    uint64_t *log_place_, *log_;
    uint8_t *reserved_; /* all of this process's address space that it takes */
    size_t reserved_bytes;
};

/* Reserves the window for guest addresses below end (at most GMEM_ADDRESS_MAX), with inaccessible
 * guards around it, and the dirty log's place. Nothing else is mapped afterwards: gmem_add(),
 * gmem_remove() and gmem_set_log() put their mappings in the place of reserved ones. */
int gmem_init(struct gmem *mem, uint64_t end) must_check;
/* Region `number` is from now on what `region` says (its names without a trailing _). The fd stays
 * the caller's and may be closed afterwards. -EINVAL (not of pages, wraps, the number or the
 * addresses are taken), -ENOSPC (ends above the window) or what mmap(2) says; then nothing changed. */
int gmem_add(struct gmem *mem, unsigned number, const struct gmem_region *region,
             int fd) must_check;
/* The caller holds no slice of it any more. */
int gmem_remove(struct gmem *mem, unsigned number) must_check;
/* gmem_init() and the regions of a guest that was started with ram_size bytes (multiple of
 * PAGE_BYTES) in one memfd: split around the 32-bit hole as layout.h says. */
int gmem_map(struct gmem *mem, int ram_fd, uint64_t ram_size) must_check;
/* Whether the kernel shall back it by transparent huge pages, as far as the host's settings for
 * shared memory have any. Advice: it never fails. */
void gmem_advise_huge(struct gmem *mem, bool wanted);
void gmem_unmap(struct gmem *mem);
/* Regions over caller-owned memory, for tests. */
void gmem_init_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes);
int gmem_add_for_test(struct gmem *mem, uint64_t base, void *host, uint64_t len_bytes);
static inline struct gslice gslice_for_test(void *host, size_t len_bytes)
{
    return (struct gslice){ .ptr_ = (uint8_t *)host, .len_ = len_bytes };
}

/* The dirty log as vhost has it: bit n % 8 of byte n / 8 is guest page n; set after the write, by an
 * atomic OR, and never cleared here. len_bytes of the memfd (a multiple of 8) must cover the window:
 * gmem_log_bytes(). fd -1: no log any more. -EINVAL or what mmap(2) says; then nothing changed. */
int gmem_set_log(struct gmem *mem, int fd, uint64_t len_bytes) must_check;
uint64_t gmem_log_bytes(const struct gmem *mem);
static inline bool gmem_has_log(const struct gmem *mem)
{
    return mem->log_ != NULL;
}
void gmem_set_log_for_test(struct gmem *mem, uint64_t *log);

/* 0 or GMEM_E_RANGE. A range may cross from one region into the next only where they follow each
 * other without a gap. len 0 is valid at any address inside a region. */
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
/* The kernel wrote the first len_bytes of these; private memory among them is left out. */
void gmem_mark_written(struct gmem *mem, const struct iovec *iov, size_t n_iov, size_t len_bytes);
void gslice_mark_written(struct gslice slice);

/* Gives the host its memory: the guest reads zeroes there from now on. Whole pages, else more or less
 * goes; 0 or a negative errno. */
int gslice_discard(struct gslice slice) must_check;

uint64_t gslice_address(struct gslice slice); /* guest-physical */
/* Whether some of it lies in that region. */
bool gslice_touches(const struct gmem *mem, struct gslice slice, unsigned number);

/* Little-endian 16-bit cells shared with the guest (ring indices): single, untorn accesses. */
uint16_t gslice_load16(struct gslice slice, size_t off); /* relaxed */
uint16_t gslice_load16_acquire(struct gslice slice, size_t off);
void gslice_store16(struct gslice slice, size_t off, uint16_t v);
void gslice_store16_release(struct gslice slice, size_t off, uint16_t v);
