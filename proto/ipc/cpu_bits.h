/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_bits.h - a set of host CPUs as messages have it: bit N % 8 of byte N / 8 is CPU N. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CPU_BITS_MAX = 1024, /* CPUs; what libc's cpu_set_t has room for */
    CPU_BITS_BYTES = CPU_BITS_MAX / 8,
    CPU_BITS_TEXT_BYTES = 4096, /* for all that cpu_bits_say() can say */
};

bool cpu_bits_has(const ProtobufCBinaryData *bits, unsigned cpu);
void cpu_bits_add(uint8_t bits[CPU_BITS_BYTES], unsigned cpu);
/* Without the bytes that say nothing: 0 for no CPU at all. */
size_t cpu_bits_len(const uint8_t bits[CPU_BITS_BYTES]);
/* "0-3,8", as the kernel lists CPUs; cut off where dst ends. Returns dst. */
char *cpu_bits_say(const ProtobufCBinaryData *bits, char *dst, size_t size);
