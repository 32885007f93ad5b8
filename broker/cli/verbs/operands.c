/* SPDX-License-Identifier: Apache-2.0 */
/* operands.c - see operands.h. */
#include "verbs/operands.h"

#include "output.h"
#include "verbs/verb.h"

int operands_parse(int argc, char **argv, size_t min, size_t max, struct simple_args *ret_args)
{
    struct option_error err;

    if (flags_parse_simple(argc, argv, ret_args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (ret_args->help)
        return VERB_HELP;
    if (ret_args->n_operands < min || ret_args->n_operands > max)
        return VERB_USAGE;
    return EXIT_OK;
}
