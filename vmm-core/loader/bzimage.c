/* SPDX-License-Identifier: Apache-2.0 */
/* bzimage.c - see bzimage.h. */
#include "bzimage.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "memmap.h"
#include "shm/layout.h"

/* Offsets in the file's first sectors, and in struct boot_params, which begins the same. */
enum {
    OFF_RSDP = 0x070,
    OFF_E820_COUNT = 0x1e8,
    OFF_SETUP_SECTS = 0x1f1,
    OFF_SYSSIZE = 0x1f4,
    OFF_BOOT_FLAG = 0x1fe,
    OFF_HEADER_LEN = 0x201, /* the header ends at 0x202 + this byte */
    OFF_HEADER_MAGIC = 0x202,
    OFF_VERSION = 0x206,
    OFF_LOADER_TYPE = 0x210,
    OFF_LOADFLAGS = 0x211,
    OFF_RAMDISK_IMAGE = 0x218,
    OFF_RAMDISK_SIZE = 0x21c,
    OFF_CMDLINE_PTR = 0x228,
    OFF_INITRD_ADDR_MAX = 0x22c,
    OFF_ALIGNMENT = 0x230,
    OFF_RELOCATABLE = 0x234,
    OFF_XLOADFLAGS = 0x236,
    OFF_CMDLINE_SIZE = 0x238,
    OFF_SETUP_DATA = 0x250,
    OFF_PREF_ADDRESS = 0x258,
    OFF_INIT_SIZE = 0x260,
    OFF_HEADER_MIN_END = 0x264,
    OFF_HEADER_MAX_END = 0x290, /* no header may reach further: other fields of boot_params */
    OFF_E820_TABLE = 0x2d0,
    HEADER_BYTES = 0x300,
    E820_ENTRY_BYTES = 20,
};
enum { XLF_KERNEL_64 = 1, LOADED_HIGH = 1, VERSION_MIN = 0x20c, LOADER_TYPE_UNKNOWN = 0xff };
#define ENTRY_64_OFFSET 0x200u

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static int check_header(struct loader *l, const uint8_t *h)
{
    if (get16(h + OFF_BOOT_FLAG) != 0xaa55 || memcmp(h + OFF_HEADER_MAGIC, "HdrS", 4) != 0)
        return loader_bad(l, "the kernel is neither a bzImage nor an ELF vmlinux");
    if (get16(h + OFF_VERSION) < VERSION_MIN)
        return loader_bad(l,
                          "the kernel's boot protocol %d.%d is too old: 2.12 (Linux 3.8) is needed",
                          h[OFF_VERSION + 1], h[OFF_VERSION]);
    if (!(get16(h + OFF_XLOADFLAGS) & XLF_KERNEL_64))
        return loader_bad(l, "the kernel is a 32-bit bzImage: a 64-bit kernel is needed");
    if (OFF_HEADER_MAGIC + h[OFF_HEADER_LEN] < OFF_HEADER_MIN_END)
        return loader_bad(l, "the kernel's setup header is too short");
    return 0;
}

/* The unpacker moves itself up to its preferred address when it is loaded lower, so a lower place
 * saves no memory and there is only one. */
static int place(struct loader *l, const uint8_t *h, uint64_t need, uint64_t *ret_addr)
{
    uint64_t addr = get64(h + OFF_PREF_ADDRESS);
    uint64_t align = get32(h + OFF_ALIGNMENT);

    if (h[OFF_RELOCATABLE]) {
        if (!is_power_of_two(align) || align > (1u << 30))
            return loader_bad(l, "the kernel's alignment is malformed");
        addr = align_up(MIN(MAX(addr, LAYOUT_KERNEL_MIN), LAYOUT_LOW_RAM_MAX), align);
    }
    if (addr < LAYOUT_KERNEL_MIN || addr >= LAYOUT_LOW_RAM_MAX || need > LAYOUT_LOW_RAM_MAX - addr)
        return loader_bad(l, "the kernel wants %llu MiB at %#llx, where no guest has RAM for it",
                          (unsigned long long)(need >> 20) + 1, (unsigned long long)addr);
    if (addr >= l->low_ram_end || need > l->low_ram_end - addr)
        return loader_bad(l,
                          "the kernel needs memory up to %llu MiB: give the guest more (--memory)",
                          (unsigned long long)((addr + need) >> 20) + 1);
    *ret_addr = addr;
    return 0;
}

/* The code's place in the file. Its length counts paragraphs of 16 bytes, of which the file may
 * lack the end of the last; a signature may follow. */
static int find_code(struct loader *l, const uint8_t *h, uint64_t *ret_offset, uint64_t *ret_len)
{
    uint64_t offset = ((h[OFF_SETUP_SECTS] ? h[OFF_SETUP_SECTS] : 4u) + 1u) * 512u;
    uint64_t len = (uint64_t)get32(h + OFF_SYSSIZE) * 16, size = 0;
    int r = loader_size(l->kernel_fd, &size);

    if (r < 0)
        return err_trace(r);
    if (len <= ENTRY_64_OFFSET)
        return loader_bad(l, "the kernel says it has no code");
    if (size <= offset || size - offset + 15 < len)
        return loader_bad(l, "the kernel is truncated: it has %llu of %llu bytes",
                          (unsigned long long)size, (unsigned long long)(offset + len));
    *ret_offset = offset;
    *ret_len = MIN(len, size - offset);
    return 0;
}

int bzimage_load(struct loader *l, struct kernel_image *ret_image)
{
    uint8_t h[HEADER_BYTES] = { 0 };
    uint64_t offset = 0, len = 0, need, addr = 0;
    int r = loader_pread(l, l->kernel_fd, 0, h, sizeof h, "kernel");

    if (r == 0)
        r = check_header(l, h);
    if (r == 0)
        r = find_code(l, h, &offset, &len);
    need = MAX(len, (uint64_t)get32(h + OFF_INIT_SIZE));
    if (r == 0)
        r = place(l, h, need, &addr);
    if (r == 0)
        r = loader_pread_guest(l, l->kernel_fd, offset, GPA(addr), len, "kernel");
    if (r != 0)
        return r;
    ret_image->entry = (struct loader_entry){ .kind = LOADER_ENTRY_LINUX64,
                                              .rip = addr + ENTRY_64_OFFSET,
                                              .boot_data = LAYOUT_BOOT_PARAMS };
    ret_image->end = addr + need;
    ret_image->initrd_limit = (uint64_t)get32(h + OFF_INITRD_ADDR_MAX) + 1;
    ret_image->cmdline_max = get32(h + OFF_CMDLINE_SIZE);
    ret_image->setup_header_len =
        MIN((size_t)(OFF_HEADER_MAGIC + h[OFF_HEADER_LEN] - OFF_SETUP_SECTS),
            sizeof ret_image->setup_header);
    memcpy(ret_image->setup_header, h + OFF_SETUP_SECTS, ret_image->setup_header_len);
    return 0;
}

/* What the 64-bit entry wants: flat segments at selectors 0x10 and 0x18, and the first 4 GiB
 * mapped to themselves with 2 MiB pages. */
static int page_tables_write(struct loader *l)
{
    static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull,
                                    0x008f8b000000ffffull };
    enum { PRESENT_RW = 3, LARGE = 0x80, ENTRIES = 512, GIB = 4 };
    uint64_t page[ENTRIES] = { 0 };
    uint64_t at = LAYOUT_PAGE_TABLES;
    int r = gmem_write(l->mem, GPA(LAYOUT_BOOT_GDT), gdt, sizeof gdt);

    page[0] = (at + PAGE_BYTES) | PRESENT_RW;
    r |= gmem_write(l->mem, GPA(at), page, sizeof page);
    for (unsigned i = 0; i < GIB; i++)
        page[i] = (at + (2 + i) * (uint64_t)PAGE_BYTES) | PRESENT_RW;
    r |= gmem_write(l->mem, GPA(at + PAGE_BYTES), page, sizeof page);
    for (unsigned i = 0; i < GIB; i++) {
        for (unsigned j = 0; j < ENTRIES; j++)
            page[j] = ((uint64_t)i << 30) | ((uint64_t)j << 21) | PRESENT_RW | LARGE;
        r |= gmem_write(l->mem, GPA(at + (2 + i) * (uint64_t)PAGE_BYTES), page, sizeof page);
    }
    return r == 0 ? 0 : err_origin(-EFAULT, "writing page tables");
}

int boot_params_write(struct loader *l, const struct kernel_image *image, struct initrd initrd)
{
    struct memmap_entry map[MEMMAP_MAX];
    unsigned n_map = memmap_build(l, map);
    uint8_t p[PAGE_BYTES] = { 0 };

    /* Not into the fields behind it, whatever length the header claims. */
    memcpy(p + OFF_SETUP_SECTS, image->setup_header,
           MIN(image->setup_header_len, (size_t)(OFF_HEADER_MAX_END - OFF_SETUP_SECTS)));
    p[OFF_LOADER_TYPE] = LOADER_TYPE_UNKNOWN;
    p[OFF_LOADFLAGS] = LOADED_HIGH;
    put64(p + OFF_SETUP_DATA, 0);
    put32(p + OFF_CMDLINE_PTR, (uint32_t)LAYOUT_CMDLINE);
    put32(p + OFF_RAMDISK_IMAGE, (uint32_t)initrd.addr);
    put32(p + OFF_RAMDISK_SIZE, (uint32_t)initrd.size);
    put64(p + OFF_RSDP, LAYOUT_RSDP);
    p[OFF_E820_COUNT] = (uint8_t)n_map;
    for (unsigned i = 0; i < n_map; i++) {
        uint8_t *e = p + OFF_E820_TABLE + i * E820_ENTRY_BYTES;

        put64(e, map[i].addr);
        put64(e + 8, map[i].size);
        put32(e + 16, map[i].type);
    }
    if (gmem_write(l->mem, GPA(LAYOUT_BOOT_PARAMS), p, sizeof p) != 0)
        return err_origin(-EFAULT, "writing boot parameters");
    return page_tables_write(l);
}
