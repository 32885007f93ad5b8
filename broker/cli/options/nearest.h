/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.h - "did you mean": the known word closest to a mistyped one. */
#pragma once

#include <stddef.h>

struct nearest {
    const char *word;
    const char *best;
    size_t distance;
};

static inline struct nearest nearest_to(const char *word)
{
    return (struct nearest){ .word = word, .best = NULL, .distance = (size_t)-1 };
}
void nearest_try(struct nearest *n, const char *candidate);
/* The best candidate, or NULL when none is close enough to be what was meant. */
const char *nearest_found(const struct nearest *n);

/* Edits (insert, delete, replace, swap neighbours) that turn a into b; words over 63 bytes are
 * compared by their first 63. */
size_t edit_distance(const char *a, const char *b);
