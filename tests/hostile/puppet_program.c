/* SPDX-License-Identifier: Apache-2.0 */
/* puppet_program.c - see puppet.c. */
#include "broker.h"

/* With arguments it was executed once more, by itself. */
int main(int argc, char **argv)
{
    (void)argv;
    return argc > 1 ? 0 : puppet_main();
}
