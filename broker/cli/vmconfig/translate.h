/* SPDX-License-Identifier: Apache-2.0 */
/* translate.h - Cloud Hypervisor's VmConfig, and what is Bulkhead's own, as the flags of `bulkhead run`: one grammar, one set of
 * checks, and a flag behind --config adds to the file or overrides it. */
#pragma once

#include <jansson.h>
#include "options/bag.h"
#include "options/keyvalue.h"
#include "vmconfig/lines.h"

/* Where a configuration comes from, as messages say it: "FILE:LINE: WHAT: field: ...". */
struct config_source {
    const char *file;
    const char *what; /* NULL: it is all of the file */
    struct lines lines;
    const char *path; /* the configuration's, in those lines */
};

struct config_flags {
    char **argv;  /* [0] is to be the verb's name; NULL behind the last one; in the bag */
    char **where; /* the path of what each comes from, as in `lines` */
    int argc;
};

/* 0, or -1 with one line in *err that names the file and the field: one that is not known (and the nearest one), of another
 * type, or not here yet. A field that is null is absent. */
int translate_config(const struct config_source *source, const json_t *config, struct bag *bag,
                     struct config_flags *ret_flags, struct option_error *err) must_check;
/* How a message begins about what stands at `path`, in the bag. */
const char *translate_place(const struct config_source *source, struct bag *bag, const char *path);
/* One device alone, an entry of that section ("disks"), as the value of its flag. A field that is not known is left out, and
 * its name added to *unknown ("disks.foo, ..."), as Cloud Hypervisor's clients rely on it; a "" at first. */
int translate_device(const struct config_source *source, const char *section, const json_t *device,
                     struct bag *bag, char **ret_value, char **unknown,
                     struct option_error *err) must_check;
