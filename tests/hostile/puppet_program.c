/* SPDX-License-Identifier: Apache-2.0 */
/* puppet_program.c - see puppet.c. */
#include "broker.h"

int main(void)
{
    return puppet_main();
}
