/* SPDX-License-Identifier: Apache-2.0 */
/* operands.h - the arguments of a verb that has no flags of its own. */
#pragma once

#include "options/flags.h"

/* EXIT_OK; or what the verb is to return: its help was asked for, it has fewer than min or more than max operands, or a
 * flag was wrong, which has been said. */
int operands_parse(int argc, char **argv, size_t min, size_t max, struct simple_args *ret_args);
