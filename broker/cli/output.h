/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - how the command line speaks: one line per error on stderr, tables, sizes, JSON. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/compiler.h"
#include "exit_status.h"

/* Prints "bulkhead: TEXT" as one line (control characters become '?') and returns status. */
int say_error(int status, const char *fmt, ...) printf_like(2, 3);
/* Where that goes from now on; NULL: to stderr again. */
void say_errors_to(FILE *out);
/* Text with what could harm a terminal replaced by '?'; at most size-1 bytes. Returns dst. */
const char *say_clean(char *dst, size_t size, const char *src);
/* As fprintf(), for what a broker says, which may have been taken over: nothing in it can harm a terminal or
 * look like a line of its own. Lines end where fmt begins or ends with '\n' only. */
void say(FILE *out, const char *fmt, ...) printf_like(2, 3);

/* "1.2M": at most 8 bytes with the terminator. */
struct say_size {
    char text[16];
};
struct say_size say_size(uint64_t bytes);

/* "45s", "12m", "3h", "17d": how long ago. */
struct say_span {
    char text[24];
};
struct say_span say_span(int64_t seconds);

/* A table whose columns are as wide as their widest cell. */
enum { TABLE_MAX_COLUMNS = 12 };
struct table {
    char ***rows;
    size_t n_rows, n_columns;
    unsigned right; /* bit i: column i is aligned right */
};
void table_init(struct table *table, size_t n_columns, unsigned right);
/* n_columns strings, copied; NULL prints as "-". */
void table_row(struct table *table, const char *const *cells);
void table_print(const struct table *table, FILE *out);
void table_deinit(struct table *table);

/* Writes value and a newline to stdout and drops the reference; 0 or EXIT_HOST. */
int say_json(json_t *value);
