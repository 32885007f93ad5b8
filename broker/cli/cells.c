// SPDX-License-Identifier: Apache-2.0
// cells.c - see cells.h.
#include "cells.h"
#include <stdint.h>
#include <stdio.h>
#include "base/compiler.h"
#include "output.h"

struct cell cell_count(double v)
{
    static const char suffix[] = " kMGTPE";
    struct cell c;
    unsigned i = 0;

    v = MIN(v, 999e18); /* no figure of ours, but a worker may say anything */
    if (v < 99999.5) {
        snprintf(c.text, sizeof(c.text), "%.0f", v);
        return c;
    }
    for (; v >= 999.5 && i < 6; i++)
        v /= 1000;
    snprintf(c.text, sizeof(c.text), v < 9.95 ? "%.1f%c" : "%.0f%c", v, suffix[i]);
    return c;
}

struct cell cell_bytes(double v)
{
    struct cell c;

    snprintf(c.text, sizeof(c.text), "%.7s", say_size(v < 1.8e19 ? (uint64_t)v : UINT64_MAX).text);
    return c;
}
