/* SPDX-License-Identifier: Apache-2.0 */
/* samples.h - what `bulkhead top` shows: samples of a VM, as a screen and as JSON. Pure but for /proc,
 * which top_take_processes() asks for memory and time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "client.pb-c.h"
#include "kin.h"
#include "pressure.h"
#include "process_info.h"
#include "shm/stats.h"

enum { TOP_MAX = 80, TOP_NAME_BYTES = 48 };

struct top_process {
    char role[16], name[TOP_NAME_BYTES], state[24];
    int pid;
    unsigned restarts;
    struct process_memory memory;
    struct process_time time;
};

struct top_device {
    char name[TOP_NAME_BYTES], role[16];
    int pid;
    unsigned restarts;
    bool has_memory;        /* the guest's figures in page.guest_stats */
    struct stats_page page; /* its counters, as the broker gave them */
};

struct top_sample {
    uint64_t time_ns; /* monotonic */
    char vm[96], state[24];
    uint64_t ram_size;
    struct pressure pressure;
    size_t n_processes, n_devices;
    struct top_process processes[TOP_MAX];
    struct top_device devices[TOP_MAX];
};

void top_take_processes(struct top_sample *sample, const Bulkhead__ProcessList *list,
                        const struct kin *kin);
void top_take_devices(struct top_sample *sample, const Bulkhead__Stats *stats);

/* Totals since the VM's start. A new reference. */
json_t *top_json(const struct top_sample *sample);
/* What happened between two samples; no line is longer than 80 columns. */
void top_print(FILE *out, const struct top_sample *now, const struct top_sample *before);
/* The upper edge in us of the bucket in which the share-th (0..1) of the requests since `before`
 * (NULL: since ever) lies; 0: there were none. */
uint64_t top_percentile_us(const uint64_t *buckets, const uint64_t *before, double share);
