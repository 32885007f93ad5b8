/* SPDX-License-Identifier: Apache-2.0 */
/* aml.c - see aml.h. */
#include "aml.h"

#include <string.h>

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXT = 0x5b,
    OP_EXT_DEVICE = 0x82,
    OP_IF = 0xa0,
    OP_ELSE = 0xa1,
    PREFIX_DUAL = 0x2e,
    PREFIX_MULTI = 0x2f,
};
enum { PKG_LENGTH_BYTES = 3, SERIALIZED = 8 };

void aml_bytes(struct aml *a, const void *bytes, size_t len)
{
    if (len > a->cap - a->len) {
        a->overflow = true;
        return;
    }
    memcpy(a->buf + a->len, bytes, len);
    a->len += len;
}

void aml_u8(struct aml *a, uint8_t v)
{
    aml_bytes(a, &v, 1);
}

void aml_u16(struct aml *a, uint16_t v)
{
    aml_bytes(a, &v, 2);
}

void aml_u32(struct aml *a, uint32_t v)
{
    aml_bytes(a, &v, 4);
}

void aml_u64(struct aml *a, uint64_t v)
{
    aml_bytes(a, &v, 8);
}

static size_t segment_len(const char *path)
{
    return strcspn(path, ".");
}

void aml_name_string(struct aml *a, const char *path)
{
    unsigned segments = 1;

    if (*path == '\\')
        aml_u8(a, (uint8_t)*path++);
    for (const char *p = path; *p; p++)
        segments += *p == '.';
    if (segments == 2)
        aml_u8(a, PREFIX_DUAL);
    if (segments > 2) {
        aml_u8(a, PREFIX_MULTI);
        aml_u8(a, (uint8_t)segments);
    }
    for (unsigned i = 0; i < segments; i++) {
        size_t n = segment_len(path);
        char padded[4] = { '_', '_', '_', '_' };

        memcpy(padded, path, n < 4 ? n : 4);
        aml_bytes(a, padded, 4);
        path += n + (path[n] == '.');
    }
}

void aml_int(struct aml *a, uint64_t v)
{
    if (v <= 1) {
        aml_u8(a, (uint8_t)v);
    } else if (v <= UINT8_MAX) {
        aml_u8(a, OP_BYTE);
        aml_u8(a, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        aml_u8(a, OP_WORD);
        aml_u16(a, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        aml_u8(a, OP_DWORD);
        aml_u32(a, (uint32_t)v);
    } else {
        aml_u8(a, OP_QWORD);
        aml_u64(a, v);
    }
}

/* PkgLength counts itself; always written in three bytes, which any length of ours fits. */
static size_t open_length(struct aml *a)
{
    size_t at = a->len;

    aml_bytes(a, "\0\0\0", PKG_LENGTH_BYTES);
    return at;
}

void aml_close(struct aml *a, size_t at)
{
    size_t len = a->len - at;

    if (a->overflow)
        return;
    a->buf[at] = (uint8_t)(0x80 | (len & 0xf));
    a->buf[at + 1] = (uint8_t)(len >> 4);
    a->buf[at + 2] = (uint8_t)(len >> 12);
}

size_t aml_open_scope(struct aml *a, const char *path)
{
    size_t at;

    aml_u8(a, OP_SCOPE);
    at = open_length(a);
    aml_name_string(a, path);
    return at;
}

size_t aml_open_device(struct aml *a, const char *name)
{
    size_t at;

    aml_u8(a, OP_EXT);
    aml_u8(a, OP_EXT_DEVICE);
    at = open_length(a);
    aml_name_string(a, name);
    return at;
}

size_t aml_open_method(struct aml *a, const char *name, unsigned args, bool serialized)
{
    size_t at;

    aml_u8(a, OP_METHOD);
    at = open_length(a);
    aml_name_string(a, name);
    aml_u8(a, (uint8_t)(args | (serialized ? SERIALIZED : 0)));
    return at;
}

size_t aml_open_if(struct aml *a)
{
    aml_u8(a, OP_IF);
    return open_length(a);
}

size_t aml_open_else(struct aml *a)
{
    aml_u8(a, OP_ELSE);
    return open_length(a);
}

size_t aml_open_package(struct aml *a, unsigned elements)
{
    size_t at;

    aml_u8(a, OP_PACKAGE);
    at = open_length(a);
    aml_u8(a, (uint8_t)elements);
    return at;
}

void aml_name(struct aml *a, const char *name)
{
    aml_u8(a, OP_NAME);
    aml_name_string(a, name);
}

void aml_name_int(struct aml *a, const char *name, uint64_t v)
{
    aml_name(a, name);
    aml_int(a, v);
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* The first three groups are little-endian (ACPI 6.4, 19.6.142). */
void aml_uuid(struct aml *a, const char *uuid)
{
    static const uint8_t digit_of_byte[] = { 6,  4,  2,  0,  11, 9,  16, 14,
                                             19, 21, 24, 26, 28, 30, 32, 34 };
    size_t at;

    aml_u8(a, OP_BUFFER);
    at = open_length(a);
    aml_int(a, sizeof digit_of_byte);
    for (size_t i = 0; i < sizeof digit_of_byte; i++)
        aml_u8(a, (uint8_t)(hex(uuid[digit_of_byte[i]]) << 4 | hex(uuid[digit_of_byte[i] + 1])));
    aml_close(a, at);
}

/* Three letters of five bits, four hex digits, stored big-endian. */
void aml_name_eisaid(struct aml *a, const char *name, const char *id)
{
    unsigned letters =
        (unsigned)(id[0] - 0x40) << 10 | (unsigned)(id[1] - 0x40) << 5 | (unsigned)(id[2] - 0x40);
    unsigned product = hex(id[3]) << 12 | hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);
    uint8_t bytes[4] = { (uint8_t)(letters >> 8), (uint8_t)letters, (uint8_t)(product >> 8),
                         (uint8_t)product };

    aml_name(a, name);
    aml_u8(a, OP_DWORD);
    aml_bytes(a, bytes, 4);
}

void aml_name_string_value(struct aml *a, const char *name, const char *text)
{
    aml_name(a, name);
    aml_u8(a, OP_STRING);
    aml_bytes(a, text, strlen(text) + 1);
}

void aml_name_resources(struct aml *a, const struct aml *descriptors)
{
    static const uint8_t end_tag[] = { 0x79, 0 };
    size_t at;

    aml_name(a, "_CRS");
    aml_u8(a, OP_BUFFER);
    at = open_length(a);
    aml_int(a, descriptors->len + sizeof end_tag);
    aml_bytes(a, descriptors->buf, descriptors->len);
    aml_bytes(a, end_tag, sizeof end_tag);
    aml_close(a, at);
    a->overflow |= descriptors->overflow;
}

void aml_res_io(struct aml *a, uint16_t base, uint8_t len)
{
    aml_u8(a, 0x47); /* I/O port descriptor, 7 bytes */
    aml_u8(a, 1);    /* 16-bit decode */
    aml_u16(a, base);
    aml_u16(a, base);
    aml_u8(a, 1);
    aml_u8(a, len);
}

void aml_res_interrupt(struct aml *a, uint32_t gsi, enum aml_trigger trigger)
{
    aml_u8(a, 0x89); /* extended interrupt descriptor */
    aml_u16(a, 6);
    aml_u8(a, (uint8_t)(1 | trigger)); /* consumer, exclusive */
    aml_u8(a, 1);
    aml_u32(a, gsi);
}

void aml_res_memory32(struct aml *a, uint32_t base, uint32_t len)
{
    aml_u8(a, 0x86); /* 32-bit fixed memory */
    aml_u16(a, 9);
    aml_u8(a, 1); /* read-write */
    aml_u32(a, base);
    aml_u32(a, len);
}

static void word_window(struct aml *a, uint8_t type, uint8_t flags, uint16_t min, uint16_t max)
{
    aml_u8(a, 0x88); /* word address space */
    aml_u16(a, 13);
    aml_u8(a, type);
    aml_u8(a, 0x0c); /* producer, min and max fixed */
    aml_u8(a, flags);
    aml_u16(a, 0);
    aml_u16(a, min);
    aml_u16(a, max);
    aml_u16(a, 0);
    aml_u16(a, (uint16_t)(max - min + 1));
}

void aml_res_bus(struct aml *a, uint16_t min, uint16_t max)
{
    word_window(a, 2, 0, min, max);
}

void aml_res_io_window(struct aml *a, uint16_t min, uint16_t max)
{
    word_window(a, 1, 3, min, max); /* entire range, ISA and non-ISA */
}

void aml_res_memory_window(struct aml *a, uint32_t min, uint32_t max)
{
    aml_u8(a, 0x87); /* double-word address space */
    aml_u16(a, 23);
    aml_u8(a, 0);
    aml_u8(a, 0x0c);
    aml_u8(a, 1); /* read-write, not cacheable */
    aml_u32(a, 0);
    aml_u32(a, min);
    aml_u32(a, max);
    aml_u32(a, 0);
    aml_u32(a, max - min + 1);
}

void aml_res_memory_window64(struct aml *a, uint64_t min, uint64_t max)
{
    aml_u8(a, 0x8a); /* quad-word address space */
    aml_u16(a, 43);
    aml_u8(a, 0);
    aml_u8(a, 0x0c);
    aml_u8(a, 1); /* read-write, not cacheable */
    aml_u64(a, 0);
    aml_u64(a, min);
    aml_u64(a, max);
    aml_u64(a, 0);
    aml_u64(a, max - min + 1);
}
