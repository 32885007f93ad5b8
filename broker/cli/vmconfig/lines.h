/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - on which line of its file each field of a tree stands: "vms[0].config.disks[1].path" on line 12. */
#pragma once

#include <jansson.h>
#include "options/bag.h"

struct lines {
    json_t *of; /* NULL: nobody knows */
};

void lines_add(struct lines *lines, const char *path, size_t line);
/* "web.yaml:12" for that field, or for the nearest one around it that is there; in the bag. The file alone where nobody
 * knows. */
char *lines_place(const struct lines *lines, struct bag *bag, const char *file, const char *path);
/* The same lines once more. */
struct lines lines_ref(const struct lines *lines);
void lines_deinit(struct lines *lines);
