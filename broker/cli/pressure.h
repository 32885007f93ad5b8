/* SPDX-License-Identifier: Apache-2.0 */
/* pressure.h - what the kernel says of how much a control group is kept waiting (PSI). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pressure_of {
    bool known;
    double some, full; /* percent of the last 10 s in which some, or all, of its threads waited */
    uint64_t some_us;  /* in all */
};

struct pressure {
    struct pressure_of cpu, memory, io;
};

/* Of the whole VM. What the host doesn't tell is not known: it has no groups, or no PSI. */
void pressure_look(pid_t core, struct pressure *ret_pressure);
/* What a file like cpu.pressure says. */
struct pressure_of pressure_parse(const char *text);
/* A new reference; null for what isn't known. */
json_t *pressure_json(const struct pressure *pressure);
