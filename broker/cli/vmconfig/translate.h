/* SPDX-License-Identifier: Apache-2.0 */
/* translate.h - Cloud Hypervisor's VmConfig, and what is Bulkhead's own, as the flags of `bulkhead run`: one grammar, one set of
 * checks, and a flag behind --config adds to the file or overrides it. */
#pragma once

#include <jansson.h>
#include "options/bag.h"
#include "options/keyvalue.h"

/* *ret_argv[0] is to be the verb's name; in the bag. 0, or -1 with one line in *err that names the file and the field:
 * one that is not known (and the nearest one), of another type, or not here yet. A field that is null is absent. */
int translate_config(const char *name, const json_t *config, struct bag *bag, char ***ret_argv,
                     int *ret_argc, struct option_error *err) must_check;
