// SPDX-License-Identifier: Apache-2.0
// nearest.c - optimal string alignment distance over three rows.
#include "options/nearest.h"
#include <stdint.h>
#include <string.h>
#include "base/compiler.h"

enum { WORD_MAX_BYTES = 63 };

size_t edit_distance(const char *a, const char *b)
{
    size_t before[WORD_MAX_BYTES + 1] = { 0 };
    size_t last[WORD_MAX_BYTES + 1];
    size_t row[WORD_MAX_BYTES + 1] = { 0 };
    size_t la = MIN(strlen(a), (size_t)WORD_MAX_BYTES);
    size_t lb = MIN(strlen(b), (size_t)WORD_MAX_BYTES);

    for (size_t j = 0; j <= lb; j++)
        last[j] = j;
    for (size_t i = 1; i <= la; i++) {
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t replace = last[j - 1] + (a[i - 1] != b[j - 1]);

            row[j] = MIN(replace, MIN(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
        memcpy(before, last, sizeof(before));
        memcpy(last, row, sizeof(last));
    }
    return last[lb];
}

void nearest_try(struct nearest *n, const char *candidate)
{
    size_t len = strlen(n->word);
    size_t distance = edit_distance(n->word, candidate);

    /* A beginning of the word counts as close: "mem" means "memory". */
    if (len >= 2 && strncmp(n->word, candidate, len) == 0)
        distance = 1;
    if (distance < n->distance) {
        n->best = candidate;
        n->distance = distance;
    }
}

const char *nearest_found(const struct nearest *n)
{
    return n->best && n->distance <= strlen(n->word) / 3 + 1 ? n->best : NULL;
}
