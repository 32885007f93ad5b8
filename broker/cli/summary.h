/* SPDX-License-Identifier: Apache-2.0 */
/* summary.h - one VM in a line of `bulkhead top`. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "samples.h"

struct summary {
    char vm[96], state[24];
    uint64_t time_ns; /* monotonic; 0: there is none */
    uint64_t ram_size, memory, ticks;
    bool memory_known, ticks_known;
    uint64_t in_bytes, out_bytes; /* of all devices */
    unsigned n_processes, restarts;
};

void summary_take(struct summary *ret_summary, const struct top_sample *sample);
/* Percent of one processor since `before`; negative: not known. */
double summary_cpu(const struct summary *now, const struct summary *before);
/* Two for each VM: now, and before. Sorted here, by CPU and name. No line is longer than 80 columns. */
struct summary_pair {
    struct summary now, before;
};
void summary_print(FILE *out, struct summary_pair *pairs, size_t n);
