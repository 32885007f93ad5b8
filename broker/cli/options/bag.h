/* SPDX-License-Identifier: Apache-2.0 */
/* bag.h - memory that is freed all at once: what belongs to one parsed command line. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"

struct bag_block;
struct bag {
    struct bag_block *blocks;
};

/* Zeroed; ends the program when there is no memory. */
void *bag_alloc(struct bag *bag, size_t bytes);
char *bag_strndup(struct bag *bag, const char *text, size_t len);
char *bag_printf(struct bag *bag, const char *fmt, ...) printf_like(2, 3);
/* Appends to an array of pointers of protobuf-c: *array, *n are the message's fields. */
void bag_append(struct bag *bag, void ***array, size_t *n, void *item);
void bag_free(struct bag *bag);
