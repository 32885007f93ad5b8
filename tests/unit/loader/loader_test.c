/* SPDX-License-Identifier: Apache-2.0 */
/* loader_test.c - well-formed kernels land where they should; each broken field has its message. */
#include "test.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "boot.h"
#include "images.h"
#include "memmap.h"
#include "shm/layout.h"

enum { RAM = 64 << 20 };

struct fixture {
    struct gmem mem;
    int ram_fd;
    struct loader l;
};

static void fixture_start(struct fixture *f, uint64_t ram)
{
    f->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    assert_int_equal(ftruncate(f->ram_fd, (off_t)ram), 0);
    assert_int_equal(gmem_map(&f->mem, f->ram_fd, ram), 0);
    loader_init(&f->l, &f->mem, ram);
}

static void fixture_end(struct fixture *f)
{
    if (f->l.kernel_fd >= 0)
        close(f->l.kernel_fd);
    if (f->l.initramfs_fd >= 0)
        close(f->l.initramfs_fd);
    gmem_unmap(&f->mem);
    close(f->ram_fd);
}

static uint64_t at(struct fixture *f, uint64_t addr, unsigned bytes)
{
    uint64_t v = 0;

    assert_int_equal(gmem_read(&f->mem, GPA(addr), &v, bytes), 0);
    return v;
}

static void bzimage_with_initramfs_and_cmdline(void **state)
{
    uint8_t image[BZIMAGE_BYTES];
    struct loader_entry entry;
    struct fixture f;
    char text[16];

    (void)state;
    fixture_start(&f, RAM);
    image_bzimage(image);
    f.l.kernel_fd = image_fd(image, sizeof image);
    f.l.initramfs_fd = image_fd("initramfs!", 10);
    f.l.cmdline = "console=ttyS0";
    assert_int_equal(boot_load(&f.l, &entry), 0);
    assert_int_equal(entry.kind, LOADER_ENTRY_LINUX64);
    assert_int_equal(entry.rip, 0x1000200);
    assert_int_equal(at(&f, 0x1000000, 4), 0x90909090);
    /* boot_params: cmdline, initramfs at the top of RAM, RSDP, E820 */
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x228, 4), LAYOUT_CMDLINE);
    assert_int_equal(gmem_read(&f.mem, GPA(LAYOUT_CMDLINE), text, 14), 0);
    assert_string_equal(text, "console=ttyS0");
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x218, 4), RAM - PAGE_BYTES);
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x21c, 4), 10);
    assert_int_equal(at(&f, RAM - PAGE_BYTES, 4), 0x74696e69); /* "init" */
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x070, 8), LAYOUT_RSDP);
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x1e8, 1), 4);
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x2d0 + 40 + 8, 8), RAM - LAYOUT_KERNEL_MIN);
    /* identity page tables: PML4 -> PDPT -> PD; the last 2 MiB of the 4 GiB */
    assert_int_equal(at(&f, LAYOUT_PAGE_TABLES, 8), (LAYOUT_PAGE_TABLES + 0x1000) | 3);
    assert_int_equal(at(&f, LAYOUT_PAGE_TABLES + 0x5000 + 511 * 8, 8), 0xffe00083);
    fixture_end(&f);
}

/* The kernel's place by its preference, alignment and being relocatable. entry 0: refused. */
static const struct {
    uint64_t preferred;
    uint32_t alignment;
    bool relocatable;
    uint64_t ram_mib, entry;
    const char *message;
} places[] = {
    { 16 << 20, 2 << 20, true, 64, 0x1000200, NULL },
    { 16 << 20, 2 << 20, true, 17, 0x1000200, NULL },                        /* to the last byte */
    { 16 << 20, 2 << 20, true, 16, 0, "up to 18 MiB: give the guest more" }, /* it would move up */
    { 16 << 20, 2 << 20, false, 64, 0x1000200, NULL },
    { 17 << 20, 2 << 20, true, 64, 0x1200200, NULL }, /* up to the alignment */
    { 0, 4 << 20, true, 64, 0x400200, NULL },         /* no preference */
    { 0, 4 << 20, false, 64, 0, "where no guest has RAM" },
    { 0, 3 << 20, true, 64, 0, "alignment is malformed" },
    { 0, 0, true, 64, 0, "alignment is malformed" },
    { 3ull << 30, 2 << 20, true, 64, 0, "where no guest has RAM" },
    { UINT64_MAX, 2 << 20, true, 64, 0, "where no guest has RAM" },
    { UINT64_MAX, 2 << 20, false, 64, 0, "where no guest has RAM" },
};

static void kernel_is_placed_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        uint8_t image[BZIMAGE_BYTES];
        struct loader_entry entry = { 0 };
        struct fixture f;
        int r;

        fixture_start(&f, places[i].ram_mib << 20);
        image_bzimage(image);
        memcpy(image + 0x258, &places[i].preferred, 8);
        memcpy(image + 0x230, &places[i].alignment, 4);
        image[0x234] = places[i].relocatable;
        f.l.kernel_fd = image_fd(image, sizeof image);
        r = boot_load(&f.l, &entry);
        if (places[i].message ? r != LOADER_E_INPUT || !strstr(f.l.why, places[i].message)
                              : r != 0 || entry.rip != places[i].entry)
            fail_msg("place %zu: %d, %#llx '%s'", i, r, (unsigned long long)entry.rip, f.l.why);
        fixture_end(&f);
    }
}

/* What follows the setup header in boot_params stays zero, however long the header claims to be. */
static void only_the_header_is_copied(void **state)
{
    uint8_t image[BZIMAGE_BYTES];
    struct loader_entry entry;
    struct fixture f;

    (void)state;
    fixture_start(&f, RAM);
    image_bzimage(image);
    image[0x201] = 0xff;
    memset(image + 0x26c, 0xee, 0x300 - 0x26c);
    image[0x1ef] = 0xff; /* the sentinel: a loader that copies it has copied too much */
    f.l.kernel_fd = image_fd(image, sizeof image);
    assert_int_equal(boot_load(&f.l, &entry), 0);
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x1ef, 1), 0);
    assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + 0x288, 8), 0xeeeeeeeeeeeeeeeeull);
    for (unsigned off = 0x290; off < 0x2d0; off += 8)
        assert_int_equal(at(&f, LAYOUT_BOOT_PARAMS + off, 8), 0);
    fixture_end(&f);
}

/* A file may end inside of its last paragraph of 16 bytes, and may go on after it. */
static void file_length_near_syssize(void **state)
{
    static const struct {
        int more;
        int want;
    } cases[] = { { -16, LOADER_E_INPUT }, { -15, 0 }, { 0, 0 }, { 512, 0 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t image[BZIMAGE_BYTES + 512] = { 0 };
        struct loader_entry entry;
        struct fixture f;

        fixture_start(&f, RAM);
        image_bzimage(image);
        memset(image + BZIMAGE_BYTES, 0x55, 512);
        f.l.kernel_fd = image_fd(image, (size_t)(BZIMAGE_BYTES + cases[i].more));
        assert_int_equal(boot_load(&f.l, &entry), cases[i].want);
        assert_int_equal(at(&f, 0x1000000 + BZIMAGE_BYTES - 5 * 512, 1), 0);
        fixture_end(&f);
    }
}

static void overlapping_segments_are_bounded(void **state)
{
    uint8_t image[ELF_BYTES];
    struct loader_entry entry;
    struct fixture f;
    Elf64_Phdr ph;
    Elf64_Ehdr h;

    (void)state;
    fixture_start(&f, RAM);
    image_elf(image);
    memcpy(&h, image, sizeof h);
    memcpy(&ph, image + sizeof h, sizeof ph);
    ph.p_paddr = LAYOUT_KERNEL_MIN;
    ph.p_memsz = RAM - LAYOUT_KERNEL_MIN;
    h.e_phnum = 3;
    memcpy(image, &h, sizeof h);
    memcpy(image + sizeof h, &ph, sizeof ph);
    memcpy(image + sizeof h + 2 * sizeof ph, &ph, sizeof ph);
    f.l.kernel_fd = image_fd(image, sizeof image);
    assert_int_equal(boot_load(&f.l, &entry), LOADER_E_INPUT);
    assert_non_null(strstr(f.l.why, "overlap"));
    fixture_end(&f);
}

/* Linux takes what the map has out of the windows for BARs; what is RAM there would be two things. */
static void memory_map_leaves_the_windows(void **state)
{
    static const uint64_t sizes[] = { LAYOUT_RAM_MIN_BYTES, LAYOUT_LOW_RAM_MAX,
                                      LAYOUT_LOW_RAM_MAX + PAGE_BYTES, 63ull << 30,
                                      LAYOUT_RAM_MAX_BYTES };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t window64 = layout_mmio64_base(sizes[i]), ram = 0, end = 0;
        struct memmap_entry map[MEMMAP_MAX];
        struct loader l;
        unsigned n;

        loader_init(&l, NULL, sizes[i]);
        n = memmap_build(&l, map);
        for (unsigned e = 0; e < n; e++) {
            assert_true(map[e].addr >= end); /* ascending */
            end = map[e].addr + map[e].size;
            assert_true(end <= LAYOUT_MMIO32_BASE || map[e].addr >= LAYOUT_MMIO32_END);
            assert_true(end <= window64);
            if (map[e].type == 1)
                ram += map[e].size;
        }
        assert_true(ram == sizes[i] - (LAYOUT_KERNEL_MIN - LAYOUT_EBDA));
    }
}

static void pvh_vmlinux(void **state)
{
    uint8_t image[ELF_BYTES];
    struct loader_entry entry;
    struct fixture f;

    (void)state;
    fixture_start(&f, RAM);
    image_elf(image);
    f.l.kernel_fd = image_fd(image, sizeof image);
    f.l.initramfs_fd = image_fd("initramfs!", 10);
    assert_int_equal(boot_load(&f.l, &entry), 0);
    assert_int_equal(entry.kind, LOADER_ENTRY_PVH);
    assert_int_equal(entry.rip, 0x1000000);
    assert_int_equal(at(&f, LAYOUT_HVM_START_INFO, 4), 0x336ec578);
    assert_int_equal(at(&f, LAYOUT_HVM_START_INFO + 12, 4), 1);
    assert_int_equal(at(&f, at(&f, LAYOUT_HVM_START_INFO + 16, 8), 8), RAM - PAGE_BYTES);
    assert_int_equal(at(&f, LAYOUT_HVM_START_INFO + 24, 8), LAYOUT_CMDLINE);
    assert_int_equal(at(&f, LAYOUT_HVM_START_INFO + 48, 4), 4);
    fixture_end(&f);
}

/* One field of a good image changed. len 0: the file is cut at off. */
static const struct {
    const char *why, *message;
    int elf;
    size_t off, len;
    uint64_t value;
} broken[] = {
    { "empty file", "empty", 0, 0, 0, 0 },
    { "cut in the header", "only 100 bytes", 0, 100, 0, 0 },
    { "cut in the code", "truncated", 0, 6000, 0, 0 },
    { "no boot flag", "neither a bzImage nor", 0, 0x1fe, 2, 0 },
    { "no magic", "neither a bzImage nor", 0, 0x202, 4, 0 },
    { "old protocol", "too old", 0, 0x206, 2, 0x205 },
    { "32-bit", "32-bit", 0, 0x236, 2, 0 },
    { "short header", "too short", 0, 0x201, 1, 0x10 },
    { "syssize 2^32-1", "truncated", 0, 0x1f4, 4, 0xffffffff },
    { "syssize 0", "no code", 0, 0x1f4, 4, 0 },
    { "init_size 2^32-1", "where no guest has RAM", 0, 0x260, 4, 0xffffffff },
    { "255 setup sectors", "truncated", 0, 0x1f1, 1, 255 },
    { "arm64 Image", "arm64", 0, 0x38, 4, 0x644d5241 },
    { "ELF of arm64", "another architecture", 1, 18, 2, EM_AARCH64 },
    { "32-bit ELF", "another architecture", 1, 4, 1, ELFCLASS32 },
    { "big-endian ELF", "another architecture", 1, 5, 1, ELFDATA2MSB },
    { "object file", "can't be executed", 1, 16, 2, ET_REL },
    { "no program headers", "malformed", 1, 56, 2, 0 },
    { "too many program headers", "malformed", 1, 56, 2, 0xffff },
    { "program header size", "malformed", 1, 54, 2, 55 },
    { "program headers past the end", "truncated", 1, 32, 8, 1 << 20 },
    { "program headers at 2^64-1", "malformed", 1, 32, 8, UINT64_MAX },
    { "segment below 1 MiB", "1 MiB or above", 1, 64 + 24, 8, 0x1000 },
    { "segment past RAM", "more (--memory)", 1, 64 + 24, 8, RAM - 4096 },
    { "segment at 2^64-1", "more (--memory)", 1, 64 + 24, 8, UINT64_MAX - 10 },
    { "filesz > memsz", "1 MiB or above", 1, 64 + 32, 8, 8193 },
    { "memsz 2^64-1", "more (--memory)", 1, 64 + 40, 8, UINT64_MAX },
    { "segment beyond the file", "truncated", 1, 64 + 8, 8, 8000 },
    { "segment offset 2^64-1", "truncated", 1, 64 + 8, 8, UINT64_MAX },
    { "no PVH note", "without a PVH", 1, 1024 + 8, 4, 17 },
    { "note of another", "without a PVH", 1, 1024 + 12, 4, 0x20756e47 },
    { "note of 3 bytes", "malformed", 1, 1024 + 4, 4, 3 },
    { "note of 2^32-1 bytes", "without a PVH", 1, 1024 + 4, 4, 0xffffffff },
    { "notes of 2^63 bytes", "notes are malformed", 1, 64 + 56 + 32, 8, 1ull << 63 },
    { "entry outside", "outside", 1, 1024 + 16, 4, 0x2000000 },
};

static void each_broken_field_has_its_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        uint8_t image[8192];
        size_t len = sizeof image;
        struct loader_entry entry;
        struct fixture f;
        int r;

        fixture_start(&f, RAM);
        if (broken[i].elf)
            image_elf(image);
        else
            image_bzimage(image);
        if (broken[i].len)
            memcpy(image + broken[i].off, &broken[i].value, broken[i].len);
        else
            len = broken[i].off;
        f.l.kernel_fd = image_fd(image, len);
        r = boot_load(&f.l, &entry);
        if (r != LOADER_E_INPUT || !strstr(f.l.why, broken[i].message))
            fail_msg("%s: %d '%s'", broken[i].why, r, f.l.why);
        assert_null(strchr(f.l.why, '\n'));
        fixture_end(&f);
    }
}

static void what_does_not_fit_is_told(void **state)
{
    static char long_line[LAYOUT_CMDLINE_MAX + 1];
    static uint8_t big[RAM];
    uint8_t image[BZIMAGE_BYTES];
    struct loader_entry entry;
    struct fixture f;

    (void)state;
    image_bzimage(image);
    fixture_start(&f, RAM);
    f.l.kernel_fd = image_fd(image, sizeof image);
    f.l.initramfs_fd = image_fd(big, sizeof big);
    assert_int_equal(boot_load(&f.l, &entry), LOADER_E_INPUT);
    assert_non_null(strstr(f.l.why, "initramfs (65 MiB) doesn't fit"));
    assert_non_null(strstr(f.l.why, "size=83M or more")); /* 17 MiB up to the kernel's end */
    assert_int_equal(ftruncate(f.l.initramfs_fd, 1ll << 40), 0);
    assert_int_equal(boot_load(&f.l, &entry), LOADER_E_INPUT);
    assert_non_null(strstr(f.l.why, "can be given at most 2031 MiB")); /* initrd_addr_max */
    close(f.l.initramfs_fd);
    f.l.initramfs_fd = image_fd("", 0);
    assert_int_equal(boot_load(&f.l, &entry), LOADER_E_INPUT);
    assert_non_null(strstr(f.l.why, "initramfs is empty"));
    memset(long_line, 'a', LAYOUT_CMDLINE_MAX);
    f.l.cmdline = long_line;
    assert_int_equal(boot_load(&f.l, &entry), LOADER_E_INPUT);
    assert_non_null(strstr(f.l.why, "command line"));
    fixture_end(&f);
}

/* The distribution's own kernel, where there is one. */
static void real_kernel(void **state)
{
    DIR *dir = opendir("/boot");
    struct dirent *entry;
    int tried = 0;

    (void)state;
    while (dir && (entry = readdir(dir))) {
        struct loader_entry got;
        char path[512];
        struct fixture f;

        if (strncmp(entry->d_name, "vmlinuz-", 8) != 0)
            continue;
        snprintf(path, sizeof path, "/boot/%s", entry->d_name);
        fixture_start(&f, 256 << 20);
        f.l.kernel_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (boot_load(&f.l, &got) != 0)
            fail_msg("%s: %s", path, f.l.why);
        assert_int_equal(got.kind, LOADER_ENTRY_LINUX64);
        tried++;
        fixture_end(&f);
    }
    if (dir)
        closedir(dir);
    if (!tried)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bzimage_with_initramfs_and_cmdline),
        cmocka_unit_test(kernel_is_placed_once),
        cmocka_unit_test(only_the_header_is_copied),
        cmocka_unit_test(file_length_near_syssize),
        cmocka_unit_test(overlapping_segments_are_bounded),
        cmocka_unit_test(memory_map_leaves_the_windows),
        cmocka_unit_test(pvh_vmlinux),
        cmocka_unit_test(each_broken_field_has_its_message),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(real_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
