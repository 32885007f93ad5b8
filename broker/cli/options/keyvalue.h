/* SPDX-License-Identifier: Apache-2.0 */
/* keyvalue.h - the one parser of "key=value,key=value" arguments, driven by tables.
 *
 * The syntax is Cloud Hypervisor's: items are separated by commas; a value may be quoted ("a,b")
 * or be a bracketed list ([a,b]) when it holds commas itself; an item without '=' is a flag of the
 * table. Each key may be given once, list keys repeatedly. Every error names the argument, the
 * key and, for an unknown key, the nearest known one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "options/bag.h"

enum option_kind {
    OPTION_FLAG,    /* bare word; int at offset becomes `min` */
    OPTION_SWITCH,  /* on|off|true|false; protobuf_c_boolean (int) */
    OPTION_U32,     /* uint32_t, min..max */
    OPTION_U64,     /* uint64_t, min..max */
    OPTION_PERCENT, /* uint32_t, min..max, with or without a '%' */
    OPTION_SIZE,    /* uint64_t, min..max bytes, suffixes K M G T */
    OPTION_TEXT,    /* char *, min..max bytes */
    OPTION_LIST,    /* struct option_list */
    OPTION_MAC,     /* struct option_mac; min 1: an empty one is the same as none */
    OPTION_IPV4,    /* uint32_t in host byte order; min as above */
    OPTION_ONLY, /* Cloud Hypervisor's, and changes nothing here: one of the words in `help`, as in
                      "raw|unknown" (NULL: none), else "not supported yet"; stored and listed nowhere */
};

struct option_list {
    char **items;
    size_t n_items;
};

struct option_mac {
    uint8_t bytes[6];
    bool given;
};

struct option_spec {
    const char *key;
    enum option_kind kind;
    size_t offset; /* of the field in the caller's struct */
    uint64_t min, max;
    const char *help;
};

/* A flag whose value is made of these. */
struct option_flag {
    const char *flag;
    const struct option_spec *specs;
    size_t n;
};

#define OPTION_ONE_OF(name, words)                                                                 \
    {                                                                                              \
        (name), OPTION_ONLY, 0, 0, 0, (words)                                                      \
    }

struct option_error {
    char text[512]; /* one line without the program's name */
};

/* what: "--disk". Values end up in *dst at the specs' offsets, strings in the bag. *ret_seen (may
 * be NULL): bit i is set when specs[i] was given; n_specs is at most 64. 0, or -1 with *err. */
int option_parse(const char *what, const char *arg, const struct option_spec *specs, size_t n_specs,
                 void *dst, struct bag *bag, uint64_t *ret_seen,
                 struct option_error *err) must_check;
/* "512M" and the like; 0 or -1 (not a number, trailing characters, too large). */
int option_size(const char *text, uint64_t *ret_bytes) must_check;
int option_u64(const char *text, uint64_t *ret_value) must_check;
int option_mac(const char *text, uint8_t ret_bytes[6]) must_check;
/* Fills err and returns -1, so that callers can `return option_fail(...)`. */
int option_fail(struct option_error *err, const char *fmt, ...) printf_like(2, 3);
