/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - command line, serial port, the order of the phases, the end. */
#include "guest.h"

struct start_info { /* Xen's docs/misc/pvh.pandoc, version 1 */
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
};
struct memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};
enum { SERIAL = 0x3f8, SLEEP_CONTROL = 0x600, RESET = 0x602, MIB = 1 << 20 };
enum end { END_OFF, END_RESET, END_FAULT, END_HALT };

uint32_t ram_end = 64 * MIB;
bool verbose;
static uint32_t ops_done, ops_max = 20000, next_line, seed = 1, only = ~0u, removals_wanted;
static enum end end;
static volatile uint32_t second_ops;
static struct random main_random, second_random;

/* ---- what it says ---- */

static void serial_reset(void)
{
    out8(SERIAL + 3, 3); /* 8 bits, no divisor latch */
    out8(SERIAL + 1, 0); /* no interrupts */
    out8(SERIAL + 4, 3); /* no loop-back */
}

void print(const char *s)
{
    serial_reset();
    for (; *s; s++)
        out8(SERIAL, (uint8_t)*s);
}

void print_number(const char *name, uint32_t v)
{
    char digits[12] = { 0 };
    unsigned at = sizeof digits - 1;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    print(name);
    print(digits + at);
}

void count_op(void)
{
    ops_done++;
    if (ops_done < next_line)
        return;
    next_line += ops_max / 16 + 1;
    print_number("HOSTILE ops=", ops_done);
    print_number(" interrupts=", n_interrupts);
    print("\n");
}

bool ops_left(void)
{
    return ops_done < ops_max;
}

/* ---- chance ---- */

uint32_t rnd(struct random *r)
{
    uint32_t s = r->s ? r->s : 0x9e3779b9u;

    s ^= s << 13;
    s ^= s >> 17;
    s ^= s << 5;
    r->s = s;
    return s * 0x9e3779b1u;
}

uint32_t below(struct random *r, uint32_t n)
{
    return n ? (rnd(r) >> 4) % n : 0;
}

bool chance(struct random *r, unsigned percent)
{
    return below(r, 100) < percent;
}

uint32_t odd_number(struct random *r)
{
    uint32_t power = 1u << below(r, 32);

    switch (below(r, 8)) {
    case 0:
        return 0;
    case 1:
        return ~0u;
    case 2:
        return power;
    case 3:
        return power - 1;
    case 4:
        return power + 1;
    case 5:
        return below(r, 256);
    case 6:
        return -below(r, 65536);
    default:
        return rnd(r);
    }
}

/* ---- command line ---- */

/* Where "NAME=" has its value, or NULL. */
static const char *option(const char *line, const char *name)
{
    for (bool begin = true; *line; begin = *line == ' ', line++) {
        const char *a = line, *b = name;

        if (!begin && *(line) != ' ')
            continue;
        if (*a == ' ')
            a++;
        while (*b && *a == *b)
            a++, b++;
        if (!*b && *a == '=')
            return a + 1;
    }
    return 0;
}

static uint32_t number_option(const char *line, const char *name, uint32_t value)
{
    const char *s = option(line, name);

    if (!s)
        return value;
    for (value = 0; *s >= '0' && *s <= '9'; s++)
        value = value * 10 + (uint32_t)(*s - '0');
    return value;
}

static void read_options(const struct start_info *info, bool *ret_interrupts)
{
    const char *line = (const char *)(uint32_t)info->cmdline, *how = option(line, "end");
    const struct memmap_entry *map = (const struct memmap_entry *)(uint32_t)info->memmap;

    for (unsigned i = 0; i < info->memmap_entries; i++)
        if (map[i].addr == MIB && map[i].type == 1)
            ram_end = (uint32_t)(map[i].addr + map[i].size);
    seed = number_option(line, "seed", seed);
    ops_max = number_option(line, "ops", ops_max);
    only = number_option(line, "only", only);
    verbose = number_option(line, "verbose", 0);
    removals_wanted = number_option(line, "removals", 0);
    *ret_interrupts = number_option(line, "irq", 1);
    end = END_OFF;
    if (how && how[0] == 'r')
        end = END_RESET;
    else if (how && how[0] == 'f')
        end = END_FAULT;
    else if (how && how[0] == 'h')
        end = END_HALT;
}

/* ---- the order ---- */

static void run_phase(unsigned phase)
{
    static void (*const phases[])(struct random *) = {
        fuzz_config_space, fuzz_ports, fuzz_bar, fuzz_holes, fuzz_ioapic, fuzz_rings, fuzz_slots,
    };
    static const uint8_t weights[] = { 0, 0, 1, 1, 2, 2, 2, 3, 4, 5, 5, 5, 5, 5, 6, 6 };

    if (only < sizeof phases / sizeof phases[0])
        phase = only;
    else
        phase = weights[phase % sizeof weights];
    if (verbose) {
        print_number("phase ", phase);
        print("\n");
    }
    phases[phase](&main_random);
}

static void finish(void)
{
    print_number("HOSTILE done seed=", seed);
    print_number(" ops=", ops_done);
    print_number(" interrupts=", n_interrupts);
    print_number(" second=", second_ops);
    print_number(" used=", n_used);
    print("\n");
    if (end == END_OFF)
        out8(SLEEP_CONTROL, 5 << 2 | 1 << 5);
    else if (end == END_RESET)
        out8(RESET, 1);
    else if (end == END_FAULT)
        triple_fault();
    for (;;)
        __asm__ volatile("cli; hlt");
}

void guest_main(const struct start_info *info);
void second_main(void);

void guest_main(const struct start_info *info)
{
    bool interrupts = false;

    read_options(info, &interrupts);
    main_random.s = seed * 2654435761u + 1;
    second_random.s = seed * 40503u + 7;
    print_number("HOSTILE begin seed=", seed);
    print_number(" ram_mib=", ram_end / MIB);
    pci_scan();
    print_number(" devices=", n_devices);
    for (unsigned i = 0; i < n_devices; i++) {
        print_number(i ? "," : " ids=", devices[i].id);
        print_number(":", devices[i].n_queues);
    }
    print("\n");
    cpu_init(interrupts);
    cpu_start_second();
    while (ops_left()) {
        run_phase(rnd(&main_random) >> 8);
        cpu_breathe();
    }
    while (n_removals < removals_wanted) {
        fuzz_slots(&main_random);
        cpu_breathe();
    }
    finish();
}

/* The other processor: rewrites rings and descriptors while the first one kicks. */
void second_main(void)
{
    struct random *r = &second_random;

    for (;;) {
        uint32_t queues = race.n_queues, size = race.queue_size, at;

        __asm__ volatile("pause");
        if (queues == 0 || size == 0)
            continue;
        second_ops++;
        at = RINGS + below(r, queues) * RING_STRIDE;
        switch (below(r, 6)) {
        case 0: /* part of an address: torn on purpose */
            mem_write32(at + 16 * below(r, size), (uint32_t)any_address(r));
            break;
        case 1:
            mem_write32(at + 16 * below(r, size) + 8, any_length(r));
            break;
        case 2:
            mem_write16(at + 16 * below(r, size) + 12, (uint16_t)below(r, 8));
            break;
        case 3:
            mem_write16(at + 16 * below(r, size) + 14, (uint16_t)below(r, size + 2));
            break;
        case 4:
            mem_write16(at + AVAIL_OFFSET + 4 + 2 * below(r, size), (uint16_t)below(r, size + 1));
            break;
        default: /* a request's first bytes */
            mem_write32(DATA + 4 * below(r, 1024), odd_number(r));
            break;
        }
    }
}
