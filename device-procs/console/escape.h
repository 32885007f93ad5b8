/* SPDX-License-Identifier: Apache-2.0 */
/* escape.h - the keys that are for us, not for the guest: Ctrl-A x leaves, Ctrl-A Ctrl-A and
 * Ctrl-A a send one Ctrl-A, Ctrl-A h shows help; any other key after Ctrl-A is passed on with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

enum { ESCAPE_KEY = 0x01 };
enum { ESCAPE_LEAVE = 1, ESCAPE_HELP = 2 }; /* bits of *ret_actions */

struct escape {
    bool pending; /* Ctrl-A was the last byte */
};

/* Filters len typed bytes into dst, which holds len + 1; returns how many came out. */
size_t escape_filter(struct escape *escape, const uint8_t *src, size_t len, uint8_t *dst,
                     unsigned *ret_actions);
