/* SPDX-License-Identifier: Apache-2.0 */
/* fields.h - the fields that a VM's file may have: Cloud Hypervisor's names (its OpenAPI document) beside ours. */
#pragma once

#include <stdbool.h>

enum type {
    TEXT,
    WORD, /* of an enumeration: "VirtioMem" is virtio-mem */
    BOOL,
    NUMBER,
    PERCENT, /* a number, or "150%" */
    SIZE,    /* bytes, or "512M" */
    FLAG,    /* true is the bare key */
    TEXTS,   /* a list */
    LIMITER, /* bandwidth and ops, each a token bucket */
    CPUS,    /* "0-3,8", or the number of one */
    PINNING, /* a list of vcpu and host_cpus */
    NOTHING, /* not here yet: only if it changes nothing */
    ANY,     /* changes nothing whatever it is */
};

struct field {
    const char *name, *key; /* key NULL: the same */
    enum type type;
};

struct section {
    const char *name, *flag;
    bool is_list;
    const struct field *fields;
    const char *bare; /* the flag's value where no field says anything; NULL: no such flag */
};

/* Each list of fields ends with one without a name. */
enum { FIELDS_SECTIONS = 11, FIELDS_TOP = 29 };
extern const struct section fields_sections[FIELDS_SECTIONS];
/* A flag each, with its value as it is; key NULL: not here yet. */
extern const struct field fields_payload[], fields_top[FIELDS_TOP];
/* Of a token bucket. */
extern const struct field fields_bucket[];
