/* SPDX-License-Identifier: Apache-2.0 */
/* escape.c - the keys that are for us, not for the guest. */
#include "escape.h"

size_t escape_filter(struct escape *escape, const uint8_t *src, size_t len, uint8_t *dst,
                     unsigned *ret_actions)
{
    size_t out = 0;
    unsigned actions = 0;

    for (size_t i = 0; i < len; i++) {
        if (!escape->pending) {
            if (src[i] == ESCAPE_KEY)
                escape->pending = true;
            else
                dst[out++] = src[i];
            continue;
        }
        escape->pending = false;
        switch (src[i]) {
        case 'x':
        case 'X':
            actions |= ESCAPE_LEAVE;
            break;
        case 'h':
        case 'H':
        case '?':
            actions |= ESCAPE_HELP;
            break;
        case ESCAPE_KEY:
        case 'a':
            dst[out++] = ESCAPE_KEY;
            break;
        default:
            dst[out++] = ESCAPE_KEY;
            dst[out++] = src[i];
            break;
        }
    }
    *ret_actions = actions;
    return out;
}
