/* SPDX-License-Identifier: Apache-2.0 */
/* registers.c - accesses of all widths and alignments to everything that answers outside of RAM. */
#include "guest.h"

enum {
    BURST = 32,
    CONFIG_BYTES = 256,
    MSIX_TABLE = 0x4000,
    MSIX_TABLE_BYTES = 0x1000,
    QUEUE_ADDRESSES = 0x20,
    QUEUE_ADDRESSES_END = 0x38
};

/* ---- memory-mapped ---- */

/* MSI-X data without INIT, NMI and the like: one of them would be the last operation. */
static uint32_t tame_vector(uint32_t v)
{
    v &= 0xc0ff;
    return (v & 0xff) < 0x20 ? v | 0x40 : v;
}

static void locked_write64(uint32_t at, uint32_t low, uint32_t high)
{
    uint32_t eax = 0, edx = 0;

    __asm__ volatile("lock cmpxchg8b (%2)"
                     : "+a"(eax), "+d"(edx)
                     : "r"(at), "b"(low), "c"(high)
                     : "memory", "cc");
}

static void read_modify_write(struct random *r, uint32_t at, uint32_t v)
{
    switch (below(r, 5)) {
    case 0:
        __asm__ volatile("xchgl %0, (%1)" : "+r"(v) : "r"(at) : "memory");
        break;
    case 1:
        __asm__ volatile("lock orl %0, (%1)" : : "r"(v), "r"(at) : "memory", "cc");
        break;
    case 2:
        __asm__ volatile("addw %w0, (%1)" : : "r"(v), "r"(at) : "memory", "cc");
        break;
    case 3:
        __asm__ volatile("btsl $3, (%0)" : : "r"(at) : "memory", "cc");
        break;
    default:
        __asm__ volatile("notb (%0)" : : "r"(at) : "memory", "cc");
        break;
    }
}

static void string_access(struct random *r, uint32_t at)
{
    uint32_t n = 1 + below(r, 8), from = DATA, to = at;

    if (chance(r, 30))
        from = at, to = DATA + 8192;
    if (chance(r, 50))
        __asm__ volatile("cld; rep movsl" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
    else
        __asm__ volatile("cld; rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
}

/* plain: only simple moves, for registers where a value was tamed. */
static void access(struct random *r, uint32_t at, bool plain, uint32_t v)
{
    count_op();
    switch (below(r, plain ? 8 : 11)) {
    case 0:
        (void)mem_read8(at);
        break;
    case 1:
        (void)mem_read16(at);
        break;
    case 2:
        (void)mem_read32(at);
        break;
    case 3:
        mem_write8(at, (uint8_t)v);
        break;
    case 4:
        mem_write16(at, (uint16_t)v);
        break;
    case 8:
        locked_write64(at, v, rnd(r));
        break;
    case 9:
        read_modify_write(r, at, v);
        break;
    case 10:
        string_access(r, at);
        break;
    default:
        mem_write32(at, v);
        break;
    }
}

void fuzz_bar(struct random *r)
{
    const struct device *d = &devices[below(r, n_devices)];

    if (n_devices == 0)
        return;
    pci_restore(d);
    for (unsigned i = 0; i < BURST; i++) {
        static const uint16_t regions[] = {
            0, 0, 0, 0, 0x1000, 0x2000, 0x2000, 0x3000, 0x3000, MSIX_TABLE, MSIX_TABLE, 0x7000
        };
        uint32_t off = regions[below(r, sizeof regions / sizeof regions[0])] +
                       below(r, chance(r, 90) ? 0x80 : 0x1000);
        uint32_t value = odd_number(r);
        bool plain = false;

        if (chance(r, 5))
            off = below(r, 0x10000);
        if (chance(r, 70))
            off &= ~3u;
        if (off + 8 > MSIX_TABLE && off < MSIX_TABLE + MSIX_TABLE_BYTES) {
            plain = true;
            value = tame_vector(rnd(r));
        } else if (off + 4 > QUEUE_ADDRESSES && off < QUEUE_ADDRESSES_END) {
            plain = true;
            value |= LOW_END; /* a ring in this program would be its end */
        }
        access(r, d->bar + off, plain, value);
    }
}

void fuzz_holes(struct random *r)
{
    for (unsigned i = 0; i < BURST; i++) {
        uint32_t at;

        switch (below(r, 6)) {
        case 0: /* behind the last BAR, and between them */
            at = MMIO_BASE + below(r, 32) * BAR_STRIDE + 0x8000 + below(r, 0x8000);
            break;
        case 1:
            at = MMIO_BASE + below(r, MMIO_END - MMIO_BASE);
            break;
        case 2: /* behind RAM, behind the ECAM of the bus */
            at = ram_end < MMIO_BASE ? ram_end + below(r, 1 << 20) : MMIO_BASE;
            break;
        case 3:
            at = ECAM + (1 << 20) - 4 + below(r, 8192);
            break;
        case 4:
            at = 0xffff0000u + below(r, 0xfff0);
            break;
        default:
            at = 0xf0000000u + below(r, 0x0e000000);
            break;
        }
        access(r, at, false, odd_number(r));
    }
}

/* The local APIC and the rest of the IOAPIC are the host kernel's; these entries lead to the core's
 * lines. Fixed delivery only. */
void fuzz_ioapic(struct random *r)
{
    static const uint8_t lines[] = { 4, 5, 8 };
    uint8_t index = (uint8_t)(0x10 + 2 * lines[below(r, sizeof lines)]);

    mem_write32(IOAPIC, index + 1);
    mem_write32(IOAPIC + 0x10, below(r, 2) << 24);
    mem_write32(IOAPIC, index);
    mem_write32(IOAPIC + 0x10, (0x30 + below(r, 0xc0)) | (rnd(r) & 0x1a000));
    count_op();
}

/* ---- configuration space ---- */

void fuzz_config_space(struct random *r)
{
    for (unsigned i = 0; i < BURST; i++) {
        uint32_t devfn =
            chance(r, 80) && n_devices ? devices[below(r, n_devices)].slot * 8 : below(r, 256);
        uint32_t off = chance(r, 90) ? below(r, CONFIG_BYTES) : below(r, 4096);

        if (chance(r, 60))
            off &= ~3u;
        if (chance(r, 30)) { /* through the ports */
            out32(0xcf8, 0x80000000u | devfn << 8 | (off & 0xfc));
            out32(0xcfc, odd_number(r));
            count_op();
        } else {
            access(r, ECAM + devfn * 4096 + off, false, odd_number(r));
        }
    }
    for (unsigned i = 0; i < n_devices; i++)
        pci_restore(&devices[i]);
}

/* ---- events and slots ---- */

uint32_t n_removals;

/* As the DSDT does it, or not at all. Devices come and go if somebody outside adds and removes them. */
void fuzz_slots(struct random *r)
{
    enum { EVENTS = 0x604, UP = 0x608, DOWN = 0x60c, EJECT = 0x610 };
    static uint32_t down;
    uint32_t more;

    for (unsigned i = 0; i < BURST; i++) {
        count_op();
        switch (below(r, 10)) {
        case 0:
            (void)in32(EVENTS);
            break;
        case 1:
            (void)in32(UP);
            break;
        case 2:
            more = in32(DOWN);
            n_removals += more != 0;
            down |= more;
            break;
        case 3:
            out32(EJECT, down);
            down = 0;
            break;
        case 4:
            out32(EJECT, 1u << below(r, 32));
            break;
        case 5:
            out32(EJECT, odd_number(r));
            break;
        case 6:
            out16((uint16_t)(EVENTS + below(r, 18)), (uint16_t)odd_number(r));
            break;
        case 7:
            out32((uint16_t)(EVENTS + below(r, 16)), odd_number(r));
            break;
        case 8:
            (void)in16((uint16_t)(EVENTS + below(r, 18)));
            break;
        default:
            (void)in8((uint16_t)(EVENTS + below(r, 18)));
            break;
        }
    }
    if (chance(r, 50))
        pci_scan();
}

/* ---- ports ---- */

/* The value without what would power off or reset the machine. */
static uint32_t tame_port(uint32_t port, unsigned size, uint32_t v)
{
    for (unsigned i = 0; i < size; i++) {
        uint32_t shift = 8 * i, byte = v >> shift & 0xff, tamed = byte;

        if (port + i == 0x600)
            tamed &= ~0x20u;
        else if (port + i == 0x602 && byte == 1)
            tamed = 2;
        else if (port + i == 0x64 && byte == 0xfe)
            tamed = 0xff;
        else if (port + i == 0xcf9 && (size < 4 || port != 0xcf8))
            tamed &= ~4u;
        v = (v & ~(0xffu << shift)) | tamed << shift;
    }
    return v;
}

static void port_string(struct random *r)
{
    static const uint16_t ports[] = { 0x3f8, 0x3fa, 0x70, 0x80, 0xcfc, 0x604, 0x1234 };
    uint16_t port = ports[below(r, sizeof ports / sizeof ports[0])];
    uint32_t n = 1 + below(r, 64), at = DATA + 8192;

    switch (below(r, 4)) {
    case 0:
        __asm__ volatile("cld; rep outsb" : "+S"(at), "+c"(n) : "d"(port) : "memory");
        break;
    case 1:
        __asm__ volatile("cld; rep insb" : "+D"(at), "+c"(n) : "d"(port) : "memory");
        break;
    case 2:
        __asm__ volatile("cld; rep insl" : "+D"(at), "+c"(n) : "d"(port) : "memory");
        break;
    default:
        __asm__ volatile("cld; rep insw" : "+D"(at), "+c"(n) : "d"(port) : "memory");
        break;
    }
}

static void port_access(struct random *r, uint16_t port)
{
    switch (below(r, 6)) {
    case 0:
        (void)in8(port);
        break;
    case 1:
        (void)in16(port);
        break;
    case 2:
        (void)in32(port);
        break;
    case 3:
        out8(port, (uint8_t)tame_port(port, 1, odd_number(r)));
        break;
    case 4:
        out16(port, (uint16_t)tame_port(port, 2, odd_number(r)));
        break;
    default:
        out32(port, tame_port(port, 4, odd_number(r)));
        break;
    }
}

/* Left out: 0x20, 0x21, 0xa0, 0xa1 and 0x40 to 0x43, which the host's kernel answers. */
void fuzz_ports(struct random *r)
{
    static const uint16_t ports[] = { 0x70,  0x71,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
                                      0x3fe, 0x3ff, 0x3f7, 0x600, 0x601, 0x602, 0x604, 0x605,
                                      0x607, 0x608, 0x60a, 0x60c, 0x610, 0x613, 0x5fe, 0x60,
                                      0x64,  0x80,  0x92,  0xcf8, 0xcf9, 0xcfa, 0xcfb, 0xcfc,
                                      0xcfd, 0xcfe, 0xcff, 0xcf6, 0xb2,  0xb3,  0x2f8, 0x510 };

    for (unsigned i = 0; i < BURST; i++) {
        count_op();
        if (chance(r, 5))
            port_string(r);
        else if (chance(r, 10))
            port_access(r, (uint16_t)(0x1000 + below(r, 0xeffc)));
        else
            port_access(r, ports[below(r, sizeof ports / sizeof ports[0])]);
    }
}
