/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_bits.c - see cpu_bits.h. */
#include "ipc/cpu_bits.h"

#include <stdio.h>
#include <string.h>

bool cpu_bits_has(const ProtobufCBinaryData *bits, unsigned cpu)
{
    return cpu / 8 < bits->len && (bits->data[cpu / 8] & (1u << cpu % 8)) != 0;
}

void cpu_bits_add(uint8_t bits[CPU_BITS_BYTES], unsigned cpu)
{
    if (cpu < CPU_BITS_MAX)
        bits[cpu / 8] = (uint8_t)(bits[cpu / 8] | 1u << cpu % 8);
}

size_t cpu_bits_len(const uint8_t bits[CPU_BITS_BYTES])
{
    size_t len = CPU_BITS_BYTES;

    while (len > 0 && bits[len - 1] == 0)
        len--;
    return len;
}

char *cpu_bits_say(const ProtobufCBinaryData *bits, char *dst, size_t size)
{
    size_t n = 0;

    dst[0] = '\0';
    for (unsigned cpu = 0; cpu < CPU_BITS_MAX; cpu++) {
        unsigned first = cpu;
        char part[32];

        if (!cpu_bits_has(bits, cpu))
            continue;
        while (cpu_bits_has(bits, cpu + 1))
            cpu++;
        snprintf(part, sizeof part, cpu > first ? "%s%u-%u" : "%s%u", n > 0 ? "," : "", first, cpu);
        if (n + strlen(part) >= size)
            break;
        n += (size_t)snprintf(dst + n, size - n, "%s", part);
    }
    return dst;
}
