/* SPDX-License-Identifier: Apache-2.0 */
/* start.S - entry of the hostile guest: 32 bit, flat, one stack for each of two processors. */
    .code32
    .section .start, "ax"
    .globl start
start:                                  /* PVH: protected mode, ebx = start info */
    cli
    lgdt gdt_pointer
    ljmp $8, $1f
1:  mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov $stack0_end, %esp
    push %ebx
    call guest_main
2:  hlt
    jmp 2b

    .text
    .globl load_idt                     /* struct { u16 limit; u32 base } */
load_idt:
    mov 4(%esp), %eax
    lidt (%eax)
    ret

    .globl triple_fault
triple_fault:
    lidt no_idt
    int3
    jmp triple_fault

    .balign 16
    .globl interrupt_stubs              /* 16 bytes each */
interrupt_stubs:
    vector = 0
    .rept 256
    .balign 16
    pushl $vector
    jmp interrupt_common
    vector = vector + 1
    .endr

interrupt_common:
    pusha
    push %esp
    call interrupt
    add $4, %esp
    popa
    add $4, %esp
    iret

    /* The second processor: copied to AP_PAGE, entered in real mode there. */
    .code16
    .globl ap_begin, ap_end
ap_begin:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl ap_gdt_pointer - ap_begin
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $ap_main32
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_end:
    .code32
ap_main32:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack1_end, %esp
    call second_main
3:  cli
    hlt
    jmp 3b

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff
    .quad 0x00cf92000000ffff
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
no_idt:
    .word 0
    .long 0

    .bss
    .balign 16
    .skip 16384
stack0_end:
    .skip 16384
stack1_end:
    .section .note.GNU-stack, "", @progbits
