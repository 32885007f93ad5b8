/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_image.h - what the formats (bzimage.h, vmlinux.h) tell of a kernel that is in guest RAM. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum loader_entry_kind { LOADER_ENTRY_LINUX64, LOADER_ENTRY_PVH };

struct loader_entry {
    enum loader_entry_kind kind;
    uint64_t rip;
    uint64_t boot_data; /* guest address of boot_params or hvm_start_info */
};

struct kernel_image {
    struct loader_entry entry;
    uint64_t end;          /* the first address after what it occupies, unpacked and with its bss */
    uint64_t initrd_limit; /* the highest address, exclusive, at which an initramfs may end */
    uint32_t cmdline_max;  /* bytes, without the 0 at its end */
    uint8_t setup_header[256]; /* bzImage: bytes from 0x1f1 on */
    size_t setup_header_len;
};

struct initrd {
    uint64_t addr, size; /* size 0: none */
};
