/* SPDX-License-Identifier: Apache-2.0 */
/* wrap.S - the flat 32-bit program as a 64-bit ELF file with the PVH note that the loader wants. */
    .section .flat, "awx", @progbits
    .incbin HOSTILE_FLAT
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18                      /* name, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad 0x200000
    .section .note.GNU-stack, "", @progbits
