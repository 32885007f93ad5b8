/* SPDX-License-Identifier: Apache-2.0 */
/* cells.h - figures of a screen whose columns have a fixed width. */
#pragma once

struct cell {
    char text[8];
};

/* At most 5 characters: "99999", "123k", "4.5M". */
struct cell cell_count(double v);
/* "1.2M", "512B" */
struct cell cell_bytes(double v);
