// SPDX-License-Identifier: Apache-2.0
// lines.c - see lines.h. The fields by their paths, in an object of jansson's.
#include "vmconfig/lines.h"
#include <string.h>

void lines_add(struct lines *lines, const char *path, size_t line)
{
    if (!lines->of)
        lines->of = json_object();
    /* What has no UTF-8 in its name is refused elsewhere. */
    (void)json_object_set_new(lines->of, path, json_integer((json_int_t)line));
}

char *lines_place(const struct lines *lines, struct bag *bag, const char *file, const char *path)
{
    char *around = bag_printf(bag, "%s", path);
    const json_t *line = NULL;

    while (lines->of && !(line = json_object_get(lines->of, around)) && *around != '\0') {
        char *dot = strrchr(around, '.'), *bracket = strrchr(around, '[');
        char *end = MAX(dot, bracket);

        *(end ? end : around) = '\0';
    }
    return line ? bag_printf(bag, "%s:%lld", file, (long long)json_integer_value(line))
                : bag_printf(bag, "%s", file);
}

struct lines lines_ref(const struct lines *lines)
{
    return (struct lines){ .of = json_incref(lines->of) };
}

void lines_deinit(struct lines *lines)
{
    json_decref(lines->of);
    lines->of = NULL;
}
