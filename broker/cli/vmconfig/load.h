/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - a file that people write, JSON or YAML, as a tree of jansson's. What reads text is the command line, never a
 * broker. What the tree means is the caller's. */
#pragma once

#include <jansson.h>
#include "options/keyvalue.h"
#include "vmconfig/lines.h"

enum { LOAD_MAX_BYTES = 1 << 20 };

/* path "-": stdin. What begins with '{' is JSON, all else YAML. The caller's, by json_decref(); NULL with one line
 * in *err. A key that is given twice is an error in both. *ret_lines (may be NULL): where its fields stand, an empty one before;
 * the caller's, by lines_deinit(), also if there is no tree. */
json_t *load_file(const char *path, struct lines *ret_lines, struct option_error *err);
/* The same of a text; name is what messages call it. */
json_t *load_text(const char *name, const char *text, size_t len, struct lines *ret_lines,
                  struct option_error *err);
