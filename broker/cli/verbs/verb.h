/* SPDX-License-Identifier: Apache-2.0 */
/* verb.h - what a verb is: one file here, and one row in main.c's table. */
#pragma once

#include <stdio.h>

struct verb {
    const char *name;
    const char *usage;       /* after the name */
    const char *summary;     /* one line */
    void (*help)(FILE *out); /* more than usage and summary; may be NULL */
    /* argv[0] is the verb. An exit status (exit_status.h), or what main() is to print. */
    int (*run)(int argc, char **argv);
};

enum verb_answer {
    VERB_HELP = -1,  /* the verb's help; it was asked for */
    VERB_USAGE = -2, /* one line of usage: the arguments don't fit */
};
