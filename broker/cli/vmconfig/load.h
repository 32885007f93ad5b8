/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - a file that people write, JSON or YAML, as a tree of jansson's. What reads text is the command line, never a
 * broker. What the tree means is the caller's. */
#pragma once

#include <jansson.h>
#include "options/keyvalue.h"

enum { LOAD_MAX_BYTES = 1 << 20 };

/* path "-": stdin. What begins with '{' is JSON, all else YAML. The caller's, by json_decref(); NULL with one line
 * in *err. A key that is given twice is an error in both. */
json_t *load_file(const char *path, struct option_error *err);
/* The same of a text; name is what messages call it. */
json_t *load_text(const char *name, const char *text, size_t len, struct option_error *err);
