/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.h - an API's document as tables, and a request's body held against it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"

enum openapi_type {
    OPENAPI_STRING,
    OPENAPI_INTEGER,
    OPENAPI_BOOLEAN,
    OPENAPI_OBJECT,
    OPENAPI_ARRAY
};

struct openapi_schema;

struct openapi_field {
    const char *name; /* NULL ends the list */
    enum openapi_type type;
    enum openapi_type item;          /* of an array */
    const struct openapi_schema *of; /* of an object, or of an array's; NULL: any */
    bool required, has_minimum;
    long long minimum;
};

struct openapi_schema {
    const char *name;
    const struct openapi_field *fields;
};

struct openapi_operation {
    const char *path, *method; /* "/vm.pause", "PUT"; NULL ends the list */
    const char *handler;
    const struct openapi_schema *body;   /* NULL: it has none */
    const char *example;                 /* of a body */
    const struct openapi_schema *answer; /* of status 200; NULL: none */
    const int *statuses;                 /* that it may answer, 0 ends them */
};

enum { OPENAPI_FAULT_BYTES = 200 };

/* That of docs/api/vm.yaml; the build makes it. */
extern const struct openapi_operation openapi_vm[];
