/* SPDX-License-Identifier: Apache-2.0 */
/* yaml.h - YAML 1.1 by libyaml, with the types of YAML 1.2's core schema: a plain true, 12 or null is one, anything in
 * quotes is text, and so are yes, on and 0777. */
#pragma once

#include <jansson.h>
#include "options/keyvalue.h"
#include "vmconfig/lines.h"

/* One document, and where its fields stand in *ret_lines, if that isn't NULL. NULL with one line in *err. */
json_t *yaml_load(const char *name, const char *text, size_t len, struct lines *ret_lines,
                  struct option_error *err);
