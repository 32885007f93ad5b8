/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h - what is wrong with a fleet's manifests: all of it, one line each, so that nobody has to mend one to hear of
 * the next. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include "options/bag.h"

struct faults {
    struct bag bag;
    char **lines;
    size_t n;
};

void faults_add(struct faults *faults, const char *fmt, ...) printf_like(2, 3);
/* Each as an error of the command line's. */
void faults_print(const struct faults *faults);
/* A new reference. */
json_t *faults_json(const struct faults *faults);
void faults_deinit(struct faults *faults);
