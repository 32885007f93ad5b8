/* SPDX-License-Identifier: Apache-2.0 */
/* vm_alone.c - nothing: the program is the rules of a VM, linked whole, and what they need. vm_alone looks into it. */
int main(void)
{
    return 0;
}
