/* SPDX-License-Identifier: Apache-2.0 */
/* labels.h - "KEY=VALUE": what a VM of the host's service is marked with, and found by. */
#pragma once

#include "client.pb-c.h"
#include "options/bag.h"
#include "options/keyvalue.h"

enum { LABEL_MAX = 32, LABEL_MAX_KEY = 63, LABEL_MAX_VALUE = 255 };

/* Appends to the array, in the bag. 0, or -1 with one line in *err. */
int label_parse(struct bag *bag, const char *text, Bulkhead__KeyValue ***labels, size_t *n_labels,
                struct option_error *err) must_check;
