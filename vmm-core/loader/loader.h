/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - puts a kernel, its initramfs, command line, memory map and ACPI tables into guest RAM.
 *
 * Every byte of the files is hostile. What is wrong with them is LOADER_E_INPUT and one line of
 * text for the user; a negative errno is a failure of the host.
 */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "shm/gmem.h"

enum { LOADER_E_INPUT = 1 }; /* positive: the user's file or value is at fault */
enum { LOADER_WHY_MAX = 200 };

enum loader_entry_kind { LOADER_ENTRY_LINUX64, LOADER_ENTRY_PVH };

struct loader_entry {
    enum loader_entry_kind kind;
    uint64_t rip;
    uint64_t boot_data; /* boot_params or hvm_start_info */
};

struct loader {
    struct gmem *mem;
    uint64_t low_ram_end; /* bytes of RAM below the 32-bit hole */
    uint64_t high_ram_bytes;
    int kernel_fd;
    int initramfs_fd; /* -1: none */
    const char *cmdline;
    unsigned vcpus; /* 1..LAYOUT_MAX_VCPUS */
    char why[LOADER_WHY_MAX];
};

void loader_init(struct loader *l, struct gmem *mem, uint64_t ram_size);
/* 0 and *ret_entry, LOADER_E_INPUT with l->why, or a negative errno with an origin. */
int loader_run(struct loader *l, struct loader_entry *ret_entry) must_check;

/* ---- parts, for tests and fuzzers ---- */

/* Formats l->why; returns LOADER_E_INPUT. */
int loader_bad(struct loader *l, const char *fmt, ...) printf_like(2, 3);

/* Reads exactly len bytes at off, or LOADER_E_INPUT: "`what` is truncated". */
int loader_pread(struct loader *l, int fd, uint64_t off, void *dst, size_t len,
                 const char *what) must_check;
/* The same, straight into guest RAM. */
int loader_pread_guest(struct loader *l, int fd, uint64_t off, gpa_t addr, uint64_t len,
                       const char *what) must_check;
int loader_size(int fd, uint64_t *ret_size) must_check;

/* *ret_end: first byte after what the kernel occupies, decompressed and with its bss. max_initrd:
 * the highest address, exclusive, an initramfs may end at. */
struct kernel_image {
    struct loader_entry entry;
    uint64_t end;
    uint64_t initrd_limit;
    uint32_t cmdline_max;
    uint8_t setup_header[256]; /* bzImage: bytes from 0x1f1 on */
    size_t setup_header_len;
};
int bzimage_load(struct loader *l, struct kernel_image *ret_image) must_check;
int elf_load(struct loader *l, struct kernel_image *ret_image) must_check;

struct initrd {
    uint64_t addr, size; /* size 0: none */
};
int boot_params_write(struct loader *l, const struct kernel_image *image,
                      struct initrd initrd) must_check;
int pvh_info_write(struct loader *l, struct initrd initrd) must_check;
int page_tables_write(struct loader *l) must_check;

struct memmap_entry {
    uint64_t addr, size;
    uint32_t type; /* 1 RAM, 2 reserved: the same in E820 and PVH */
};
enum { MEMMAP_MAX = 8 };
unsigned memmap_build(const struct loader *l, struct memmap_entry entries[MEMMAP_MAX]);

/* ACPI 6.4 tables at LAYOUT_RSDP and LAYOUT_ACPI_TABLES. */
int acpi_write(struct loader *l) must_check;
