/* SPDX-License-Identifier: Apache-2.0 */
/* verb.h - what a verb is: one file here, and one row in main.c's table. */
#pragma once

#include <stdio.h>
#include "options/flags.h"

/* What an argument that is no flag stands for. */
enum operand {
    OPERAND_NONE,
    OPERAND_VM,
    OPERAND_DEVICE,
    OPERAND_VERB,
    OPERAND_WORD, /* one of `words` */
    OPERAND_FILE,
    OPERAND_AGAIN, /* more of what stands before it */
};

/* Help, manual page and completion are made of it. */
struct verb {
    const char *name;
    const char *usage;   /* after the name */
    const char *summary; /* one line; NULL: not listed */
    enum operand operands[3];
    const char *const *words;      /* ends with NULL; may be NULL */
    const struct flag_list *flags; /* NULL: none */
    void (*more)(FILE *out);       /* what else there is to say; may be NULL */
    /* argv[0] is the verb. An exit status (exit_status.h), or what main() is to print. */
    int (*run)(int argc, char **argv);
};

struct verb_list {
    const struct verb *const *of;
    size_t n;
};

enum verb_answer {
    VERB_HELP = -1,  /* the verb's help; it was asked for */
    VERB_USAGE = -2, /* one line of usage: the arguments don't fit */
};
