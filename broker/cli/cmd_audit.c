// SPDX-License-Identifier: Apache-2.0
#include "say.h"
#include "verbs.h"
int verb_audit(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return say_error(EXIT_HOST, "not yet");
}
