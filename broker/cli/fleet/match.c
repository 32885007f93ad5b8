// SPDX-License-Identifier: Apache-2.0
// match.c - see match.h.
#include "fleet/match.h"
#include <errno.h>
#include <string.h>

int match_init(struct match *m, const char *text, bool is_regex)
{
    m->len = 0;
    m->text = is_regex ? NULL : text;
    if (is_regex && regcomp(&m->regex, text, REG_EXTENDED | REG_NOSUB) != 0)
        return -EINVAL;
    return 0;
}

/* A line that hasn't ended has no end for "$". */
static bool fits(struct match *m, bool ended)
{
    m->line[m->len] = '\0';
    if (m->text)
        return strstr(m->line, m->text) != NULL;
    return regexec(&m->regex, m->line, 0, NULL, ended ? 0 : REG_NOTEOL) == 0;
}

/* Of a line that is longer than there is room for, what a text may have begun in is kept. */
static void make_room(struct match *m)
{
    memmove(m->line, m->line + m->len - MATCH_TEXT_BYTES, MATCH_TEXT_BYTES);
    m->len = MATCH_TEXT_BYTES;
}

bool match_feed(struct match *m, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            if (fits(m, true))
                return true;
            m->len = 0;
            continue;
        }
        if (m->len == MATCH_LINE_BYTES) {
            if (fits(m, false))
                return true;
            make_room(m);
        }
        if (bytes[i] != '\r')
            m->line[m->len++] = bytes[i] ? bytes[i] : '?';
    }
    return m->len > 0 && fits(m, false);
}

void match_deinit(struct match *m)
{
    if (!m->text)
        regfree(&m->regex);
}
