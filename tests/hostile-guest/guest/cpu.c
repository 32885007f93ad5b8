/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - interrupts that are counted and otherwise ignored, and the second processor. */
#include "guest.h"

enum {
    LAPIC_EOI = 0xb0,
    LAPIC_SPURIOUS = 0xf0,
    LAPIC_ICR = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    NMI = 2,
    FIRST_USER_VECTOR = 32,
    STUB_BYTES = 16,
    /* A line that is never lowered would leave no time for anything else. */
    INTERRUPTS_AT_ONCE = 64,
    FLAG_IF = 1 << 9,
    SMBASE = 0x30000,
    SMI_ENTRY = SMBASE + 0x8000,
};

struct frame { /* pusha, the stub's vector, what the processor pushed */
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax, vector, eip, cs, eflags;
};
struct gate {
    uint16_t low, selector, type, high;
};

extern const uint8_t interrupt_stubs[], ap_begin[], ap_end[];
void interrupt(struct frame *frame);

volatile uint32_t n_interrupts;
static volatile uint32_t at_once;
static struct gate idt[256];
static bool wanted;

void interrupt(struct frame *frame)
{
    if (frame->vector < FIRST_USER_VECTOR && frame->vector != NMI) {
        print_number("HOSTILE harmed itself: exception ", frame->vector);
        print_number(" words ", frame->eip); /* of some, the error code */
        print_number(" ", frame->cs);
        print_number(" ", frame->eflags);
        print("\n");
        for (;;)
            out8(0x600, 5 << 2 | 1 << 5);
    }
    n_interrupts++;
    if (++at_once > INTERRUPTS_AT_ONCE)
        frame->eflags &= ~(uint32_t)FLAG_IF;
    if (frame->vector != NMI)
        mem_write32(LAPIC + LAPIC_EOI, 0);
}

void cpu_init(bool interrupts)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = { sizeof idt - 1, (uint32_t)idt };

    for (unsigned i = 0; i < 256; i++) {
        uint32_t at = (uint32_t)interrupt_stubs + i * STUB_BYTES;

        idt[i] = (struct gate){ (uint16_t)at, 8, 0x8e00, (uint16_t)(at >> 16) };
    }
    load_idt(&pointer);
    *(volatile uint8_t *)SMI_ENTRY = 0x0f; /* rsm: an MSI may be an SMI */
    *(volatile uint8_t *)(SMI_ENTRY + 1) = 0xaa;
    out8(0x21, 0xff); /* the host kernel's PIC: its vectors would be those of exceptions */
    out8(0xa1, 0xff);
    wanted = interrupts;
    if (interrupts)
        mem_write32(LAPIC + LAPIC_SPURIOUS, 0x1ff);
}

void cpu_breathe(void)
{
    if (!wanted)
        return;
    at_once = 0;
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

void cpu_start_second(void)
{
    for (const uint8_t *p = ap_begin; p < ap_end; p++)
        *(volatile uint8_t *)(AP_PAGE + (p - ap_begin)) = *p;
    mem_write32(LAPIC + LAPIC_ICR_HIGH, 1u << 24);
    mem_write32(LAPIC + LAPIC_ICR, 0x4500); /* INIT */
    for (unsigned i = 0; i < 100; i++)
        out8(0x80, 0);
    mem_write32(LAPIC + LAPIC_ICR_HIGH, 1u << 24);
    mem_write32(LAPIC + LAPIC_ICR, 0x4600 | AP_PAGE >> 12);
}
