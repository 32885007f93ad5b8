/* SPDX-License-Identifier: Apache-2.0 */
/* flags.h - a verb's flags as a table: parsing by getopt_long, help text, nearest-name errors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "options/keyvalue.h"

enum flag_values {
    FLAG_ONE,   /* as many as `value` says: one or none */
    FLAG_MANY,  /* several in a row: --disk path=a path=b */
    FLAG_MAYBE, /* one or none: --rng, --rng src=/dev/urandom */
};

struct flag {
    const char *name; /* long name */
    char letter;      /* or '\0' */
    enum flag_values values;
    const char *value; /* what the value is called in the help, NULL: the flag takes none */
    const char *help;  /* NULL: not listed */
    int id;            /* what on_flag is given; FLAG_HELP and FLAG_JSON are the same everywhere */
};

struct flag_list {
    const struct flag *of;
    size_t n;
};

enum { FLAG_OPERAND = -1, FLAG_HELP = 1000, FLAG_JSON = 1001 };
#define FLAGS_COMMON                                                                               \
    {                                                                                              \
        "help", 'h', FLAG_ONE, NULL, "show this help and exit", FLAG_HELP                          \
    }
#define FLAGS_COMMON_JSON { "json", 0, FLAG_ONE, NULL, "print JSON", FLAG_JSON }, FLAGS_COMMON

/* id FLAG_OPERAND: value is an argument that is no flag. 0, or -1 with *err. */
typedef int (*flag_fn)(void *arg, int id, const char *value, struct option_error *err);

/* argv[0] is the verb's name. 0, or -1 with *err. */
int flags_parse(const struct flag_list *flags, int argc, char **argv, flag_fn on_flag, void *arg,
                struct option_error *err) must_check;
void flags_print(const struct flag_list *flags, FILE *out);

/* What the simple verbs need: --help, --json and a few operands. */
struct simple_args {
    bool help, json;
    const char *operands[4];
    size_t n_operands;
};
extern const struct flag_list flags_simple;
int flags_parse_simple(int argc, char **argv, struct simple_args *ret_args,
                       struct option_error *err) must_check;
