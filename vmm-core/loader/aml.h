/* SPDX-License-Identifier: Apache-2.0 */
/* aml.h - a small emitter of ACPI machine language (ACPI 6.4, chapter 20) into a fixed buffer.
 * What doesn't fit sets `overflow` and is dropped. Objects that have a length are opened and closed
 * in pairs: size_t at = aml_open(...); ...; aml_close(a, at). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
    uint8_t *buf;
    size_t cap, len;
    bool overflow;
};

void aml_bytes(struct aml *a, const void *bytes, size_t len);
void aml_u8(struct aml *a, uint8_t v);
void aml_u16(struct aml *a, uint16_t v);
void aml_u32(struct aml *a, uint32_t v);
void aml_u64(struct aml *a, uint64_t v);

/* A name of up to four characters, padded with '_'; with \ or a dot as ACPI writes paths. */
void aml_name_string(struct aml *a, const char *path);
void aml_int(struct aml *a, uint64_t v);
void aml_uuid(struct aml *a, const char *uuid); /* "33DB4D5B-...", upper case: ToUUID() */

size_t aml_open_scope(struct aml *a, const char *path);
size_t aml_open_device(struct aml *a, const char *name);
size_t aml_open_method(struct aml *a, const char *name, unsigned args, bool serialized);
size_t aml_open_if(struct aml *a);
size_t aml_open_else(struct aml *a);
size_t aml_open_package(struct aml *a, unsigned elements);
void aml_close(struct aml *a, size_t at);

void aml_name(struct aml *a, const char *name); /* Name(name, <object that follows>) */
void aml_name_int(struct aml *a, const char *name, uint64_t v);
void aml_name_eisaid(struct aml *a, const char *name, const char *id); /* "PNP0A08" */
void aml_name_string_value(struct aml *a, const char *name, const char *text);
/* Name(_CRS, ResourceTemplate) over bytes of descriptors; the end tag is added. */
void aml_name_resources(struct aml *a, const struct aml *descriptors);

/* Resource descriptors (ACPI 6.4, section 6.4). */
void aml_res_io(struct aml *a, uint16_t base, uint8_t len);
enum aml_trigger { AML_LEVEL = 0, AML_EDGE = 2 };
void aml_res_interrupt(struct aml *a, uint32_t gsi, enum aml_trigger trigger); /* active high */
void aml_res_memory32(struct aml *a, uint32_t base, uint32_t len);
void aml_res_bus(struct aml *a, uint16_t min, uint16_t max);
void aml_res_io_window(struct aml *a, uint16_t min, uint16_t max);
void aml_res_memory_window(struct aml *a, uint32_t min, uint32_t max);
void aml_res_memory_window64(struct aml *a, uint64_t min, uint64_t max);
