/* SPDX-License-Identifier: Apache-2.0 */
/* manual.h - manual pages (man(7)) from the tables that the help is made of. */
#pragma once

#include <stdio.h>
#include "verbs/verb.h"

/* bulkhead(1). */
void manual_print(const struct verb_list *verbs, FILE *out);
/* bulkhead-VERB(1). */
void manual_of_verb(const struct verb *verb, FILE *out);
