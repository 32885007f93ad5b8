/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - where a manifest comes from. */
#pragma once

#include <jansson.h>
#include "options/bag.h"
#include "options/keyvalue.h"
#include "vmconfig/lines.h"

struct manifest_source {
    const char *file; /* what messages call it */
    struct lines lines;
    const char *dir; /* absolute: where its relative paths are seen from */
    /* A file that a `config_file` names, its lines, and its folder, in the bag; NULL with one line in *err. */
    json_t *(*load)(const char *dir, const char *path, struct bag *bag, const char **ret_dir,
                    struct lines *ret_lines, struct option_error *err);
};
