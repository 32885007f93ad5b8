// SPDX-License-Identifier: Apache-2.0
// bag.c - a list of blocks.
#include "options/bag.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "output.h"

struct bag_block {
    struct bag_block *next;
    max_align_t data[];
};

void *bag_alloc(struct bag *bag, size_t bytes)
{
    struct bag_block *block = calloc(1, sizeof(*block) + bytes);

    if (!block)
        exit(say_error(EXIT_HOST, "out of memory"));
    block->next = bag->blocks;
    bag->blocks = block;
    return block->data;
}

char *bag_strndup(struct bag *bag, const char *text, size_t len)
{
    char *copy = bag_alloc(bag, len + 1);

    memcpy(copy, text, len);
    return copy;
}

char *bag_printf(struct bag *bag, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    text = bag_alloc(bag, (size_t)MAX(len, 0) + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)MAX(len, 0) + 1, fmt, ap);
    va_end(ap);
    return text;
}

void bag_append(struct bag *bag, void ***array, size_t *n, void *item)
{
    void **grown = bag_alloc(bag, (*n + 1) * sizeof(*grown));

    if (*n > 0)
        memcpy(grown, *array, *n * sizeof(*grown));
    grown[(*n)++] = item;
    *array = grown;
}

void bag_free(struct bag *bag)
{
    while (bag->blocks) {
        struct bag_block *block = bag->blocks;

        bag->blocks = block->next;
        free(block);
    }
}
