/* SPDX-License-Identifier: Apache-2.0 */
/* complete.h - what may stand at the end of a command line, for the shells (docs/completion). */
#pragma once

#include "verbs/verb.h"

/* words: those after "bulkhead", the last as far as it was typed, perhaps empty. Prints a line for each word that fits,
 * "WORD\tWHAT IT IS", and, where a file's name fits, a line ":files HEAD": HEAD is what stands before it in the
 * word. */
void complete_print(const struct verb_list *verbs, size_t n_words, char **words);
