/* SPDX-License-Identifier: Apache-2.0 */
/* images.h - small well-formed kernels to break one field of. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { BZIMAGE_BYTES = 8192, ELF_BYTES = 8192 };

/* Relocatable 64-bit bzImage: 5 sectors of setup, the rest is code; needs 1 MiB to start. */
void image_bzimage(uint8_t buf[BZIMAGE_BYTES]);
/* PVH vmlinux: one segment of 4 KiB at 16 MiB with 8 KiB of memory, entry at its start. */
void image_elf(uint8_t buf[ELF_BYTES]);
/* A memfd that holds these bytes. */
int image_fd(const void *bytes, size_t len);
