// SPDX-License-Identifier: Apache-2.0
// labels.c - see labels.h.
#include "options/labels.h"
#include <string.h>

int label_parse(struct bag *bag, const char *text, Bulkhead__KeyValue ***labels, size_t *n_labels,
                struct option_error *err)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-");
    void **array = (void **)*labels;
    Bulkhead__KeyValue *label;

    if (len == 0 || len > LABEL_MAX_KEY || text[len] != '=')
        return option_fail(
            err,
            "--label: '%.80s' is no label: KEY=VALUE, with a key of 1 to %d letters, "
            "digits, '.', '_', '-' or '/'",
            text, LABEL_MAX_KEY);
    if (strlen(text + len + 1) > LABEL_MAX_VALUE)
        return option_fail(err, "--label: the value of '%.*s' is longer than %d bytes", (int)len,
                           text, LABEL_MAX_VALUE);
    for (size_t i = 0; i < *n_labels; i++)
        if (strlen((*labels)[i]->key) == len && strncmp((*labels)[i]->key, text, len) == 0)
            return option_fail(err, "--label: '%.*s' is given twice", (int)len, text);
    if (*n_labels == LABEL_MAX)
        return option_fail(err, "--label: more than %d", LABEL_MAX);
    label = bag_alloc(bag, sizeof(*label));
    bulkhead__key_value__init(label);
    label->key = bag_strndup(bag, text, len);
    label->value = bag_strndup(bag, text + len + 1, strlen(text + len + 1));
    bag_append(bag, &array, n_labels, label);
    *labels = (Bulkhead__KeyValue **)array;
    return 0;
}
