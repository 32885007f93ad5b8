/* SPDX-License-Identifier: Apache-2.0 */
/* signals_child.c - in place of a VM's core and of a worker: does nothing until a byte comes from the
 * test, which is its exit status, or the test is gone. */
#include <unistd.h>

int main(void)
{
    char status = 0;

    (void)!read(3, &status, 1);
    _exit(status);
}
