/* SPDX-License-Identifier: Apache-2.0 */
/* match.h - is there such a line in what a guest writes? However it is cut into pieces; also in a line that hasn't ended,
 * as "login: ". */
#pragma once

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"

enum { MATCH_LINE_BYTES = 4096, MATCH_TEXT_BYTES = 256 };

struct match {
    const char *text; /* in the line; or NULL */
    regex_t regex;    /* that fits the line */
    size_t len;
    char line[MATCH_LINE_BYTES + 1];
};

/* The text is the caller's, of less than MATCH_TEXT_BYTES. 0, or -EINVAL: it is no regular expression. */
int match_init(struct match *match, const char *text, bool is_regex) must_check;
/* True: there it is. */
bool match_feed(struct match *match, const char *bytes, size_t len);
void match_deinit(struct match *match);
