/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h - a guest that behaves as badly as it can, for a bounded number of operations.
 *
 * Freestanding, 32 bit, integer instructions only, so that any KVM runs it. All that it does
 * follows from its seed. What would end the VM early is left out until the end: resets, power-off,
 * writes of devices into the program itself (LOW_END is where they may begin).
 *
 * Command line: seed=N ops=N irq=0|1 only=PHASE end=off|reset|fault|halt verbose=1 removals=N: not to end
 * before so many were seen */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    AP_PAGE = 0x30000,   /* the second processor's first instructions */
    LOW_END = 32 << 20,  /* below: this program */
    RINGS = LOW_END,     /* 64 KiB for each of MAX_QUEUES */
    TABLES = 40 << 20,   /* indirect tables */
    DATA = 44 << 20,     /* buffers, up to ram_end */
    DATA_END = 56 << 20, /* --memory size=64M or more */
    RING_STRIDE = 0x10000,
    AVAIL_OFFSET = 0x5000,
    USED_OFFSET = 0x8000,
    MAX_QUEUES = 16,
    MAX_DEVICES = 31,
};
#define MMIO_BASE 0xc0000000u
#define MMIO_END 0xe0000000u
#define BAR_STRIDE 0x10000u
#define ECAM 0xe0000000u
#define IOAPIC 0xfec00000u
#define LAPIC 0xfee00000u

struct device {
    unsigned slot;
    uint16_t id; /* virtio device id */
    uint32_t bar;
    unsigned n_queues;
};

/* ---- main.c ---- */
extern uint32_t ram_end;
extern struct device devices[MAX_DEVICES];
extern unsigned n_devices;
extern bool verbose;
void print(const char *s);
void print_number(const char *name, uint32_t v);
void count_op(void); /* each access or change counts; prints how far it is */
bool ops_left(void);

struct random {
    uint32_t s;
};
uint32_t rnd(struct random *r);
uint32_t below(struct random *r, uint32_t n); /* 0 for n = 0 */
bool chance(struct random *r, unsigned percent);
uint32_t odd_number(struct random *r); /* 0, ~0, powers of two and their neighbours, ... */

/* ---- pci.c ---- */
void pci_scan(void); /* the devices that are there now */
/* BAR and command register as they were. */
void pci_restore(const struct device *d);
uint32_t pci_read32(unsigned slot, unsigned off);
void pci_write32(unsigned slot, unsigned off, uint32_t v);

/* ---- start.S ---- */
void load_idt(const void *pointer);
void triple_fault(void);

/* ---- cpu.c ---- */
extern volatile uint32_t n_interrupts;
void cpu_init(bool interrupts);
void cpu_breathe(void); /* lets interrupts in, if they are wanted */
/* Starts it; second_main() runs there. */
void cpu_start_second(void);

/* ---- registers.c: a burst of accesses each ---- */
void fuzz_config_space(struct random *r);
void fuzz_ports(struct random *r);
void fuzz_bar(struct random *r);
void fuzz_holes(struct random *r);
void fuzz_ioapic(struct random *r);
void fuzz_slots(struct random *r);
extern uint32_t n_removals; /* how often a device was to go, or had gone */

/* ---- rings.c ---- */
void fuzz_rings(struct random *r);
/* What the second processor rewrites: nothing while n_queues is 0. */
struct race {
    volatile uint32_t n_queues, queue_size;
    volatile uint32_t id;
};
extern struct race race;
extern uint32_t n_used; /* how often a device was seen to complete something */
uint64_t any_address(struct random *r);
uint32_t any_length(struct random *r);

/* ---- requests.c ---- */
struct piece {
    uint64_t addr;
    uint32_t len;
    bool write; /* by the device */
};
enum { MAX_PIECES = 16 };
/* A request that a device of that kind would take, more or less: returns the number of pieces. */
unsigned make_request(struct random *r, uint16_t id, unsigned queue, unsigned n_queues,
                      struct piece pieces[MAX_PIECES]);

/* ---- hardware ---- */
static inline void out8(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void out16(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint16_t in16(uint16_t port)
{
    uint16_t v;

    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t in32(uint16_t port)
{
    uint32_t v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline void mem_write8(uint32_t at, uint8_t v)
{
    __asm__ volatile("movb %0, (%1)" : : "q"(v), "r"(at) : "memory");
}
static inline void mem_write16(uint32_t at, uint16_t v)
{
    __asm__ volatile("movw %0, (%1)" : : "r"(v), "r"(at) : "memory");
}
static inline void mem_write32(uint32_t at, uint32_t v)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(v), "r"(at) : "memory");
}
static inline uint8_t mem_read8(uint32_t at)
{
    uint8_t v;

    __asm__ volatile("movb (%1), %0" : "=q"(v) : "r"(at) : "memory");
    return v;
}
static inline uint16_t mem_read16(uint32_t at)
{
    uint16_t v;

    __asm__ volatile("movw (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}
static inline uint32_t mem_read32(uint32_t at)
{
    uint32_t v;

    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}
