/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - what one boot is made of, and how its files are read.
 *
 * Every byte of the files is hostile. What is wrong with them is LOADER_E_INPUT and one line of
 * text for the user; a negative errno with an origin is a failure of the host.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "shm/gmem.h"

enum { LOADER_E_INPUT = 1 }; /* positive: the user's file or value is at fault */
enum { LOADER_WHY_MAX = 200 };

struct loader {
    struct gmem *mem;     /* not owned, as all of these */
    uint64_t low_ram_end; /* bytes of RAM below the 32-bit hole */
    uint64_t high_ram_bytes;
    int kernel_fd;
    int initramfs_fd; /* -1: none */
    const char *cmdline;
    unsigned vcpus; /* 1..LAYOUT_MAX_VCPUS */
    char why[LOADER_WHY_MAX];
};

/* ram_size: bytes. No files, an empty command line, one vCPU. */
void loader_init(struct loader *l, struct gmem *mem, uint64_t ram_size);

/* Formats l->why; returns LOADER_E_INPUT. */
int loader_bad(struct loader *l, const char *fmt, ...) printf_like(2, 3);

/* Reads exactly len bytes at off, or LOADER_E_INPUT: "`what` is truncated". */
int loader_pread(struct loader *l, int fd, uint64_t off, void *dst, size_t len,
                 const char *what) must_check;
/* The same, straight into guest RAM. */
int loader_pread_guest(struct loader *l, int fd, uint64_t off, gpa_t addr, uint64_t len,
                       const char *what) must_check;
int loader_size(int fd, uint64_t *ret_size) must_check; /* bytes */
