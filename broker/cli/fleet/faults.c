// SPDX-License-Identifier: Apache-2.0
// faults.c - see faults.h.
#include "fleet/faults.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "output.h"

void faults_add(struct faults *faults, const char *fmt, ...)
{
    void **array = (void **)faults->lines;
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    bag_append(&faults->bag, &array, &faults->n, bag_strndup(&faults->bag, line, strlen(line)));
    faults->lines = (char **)array;
}

void faults_print(const struct faults *faults)
{
    for (size_t i = 0; i < faults->n; i++)
        (void)say_error(EXIT_BAD_INPUT, "%s", faults->lines[i]);
}

json_t *faults_json(const struct faults *faults)
{
    json_t *list = json_array();
    char clean[1024];

    for (size_t i = 0; i < faults->n; i++)
        json_array_append_new(list, json_string(say_clean(clean, sizeof(clean), faults->lines[i])));
    return list;
}

void faults_deinit(struct faults *faults)
{
    bag_free(&faults->bag);
    *faults = (struct faults){ 0 };
}
