/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h - the few instructions that the check runs in a VM, 64-bit, position-independent. */
#pragma once

#include <stdint.h>

/* The guest writes these to GUEST_PORT: the number of each step before it begins, then the end. */
enum {
    GUEST_PORT = 0xf4,
    GUEST_STEP_INTEGER = 1,
    GUEST_STEP_SSE,
    GUEST_STEP_DOUBLE,
    GUEST_STEP_CMPXCHG16B,
    GUEST_STEP_XSAVE,
    GUEST_STEP_MMIO, /* reads 4 bytes at GUEST_MMIO, which must answer GUEST_MMIO_VALUE */
    GUEST_STEP__MAX,
    GUEST_WRONG = 0xee, /* a result was wrong */
    GUEST_DONE = 0xff,
};
#define GUEST_MMIO 0x180000ull
#define GUEST_MMIO_VALUE 0x6b766d31u

extern const uint8_t guest_code[];
extern const uint8_t guest_code_end[];
