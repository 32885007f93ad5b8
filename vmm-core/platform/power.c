/* SPDX-License-Identifier: Apache-2.0 */
/* power.c - see power.h. ACPI 6.4 sections 4.8.3.7 (sleep control), 4.8.3.6 (reset). */
#include "platform/power.h"

#include "base/err.h"
#include "shm/layout.h"

enum {
    SLEEP_ENABLE = 1 << 5,
    SLEEP_TYPE_SHIFT = 2,
    SLEEP_TYPE_MASK = 7,
};

static void write_sleep_control(struct power *power, uint8_t value)
{
    power->sleep_control = value & (uint8_t)~SLEEP_ENABLE;
    if ((value & SLEEP_ENABLE) &&
        (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == LAYOUT_SLP_TYP_S5)
        power->on_event(power->arg, POWER_OFF);
}

/* Sleep control, sleep status, reset. */
static uint64_t sleep_read(void *dev, uint64_t off, unsigned size)
{
    const struct power *power = dev;
    uint8_t image[] = { power->sleep_control, 0, 0 };

    return bus_image_read(image, sizeof image, off, size);
}

static void sleep_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct power *power = dev;

    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));

        if (LAYOUT_PIO_SLEEP_CONTROL + off + i == LAYOUT_PIO_SLEEP_CONTROL)
            write_sleep_control(power, byte);
        else if (LAYOUT_PIO_SLEEP_CONTROL + off + i == LAYOUT_PIO_RESET &&
                 byte == LAYOUT_RESET_VALUE)
            power->on_event(power->arg, POWER_RESET);
    }
}

static const struct bus_ops sleep_ops = { .read = sleep_read, .write = sleep_write };

void power_init(struct power *power, void (*on_event)(void *arg, enum power_event event), void *arg)
{
    *power = (struct power){ .on_event = on_event, .arg = arg };
}

int power_add_to(struct power *power, struct bus *pio)
{
    int r = bus_add(pio, LAYOUT_PIO_SLEEP_CONTROL, LAYOUT_PIO_RESET + 1 - LAYOUT_PIO_SLEEP_CONTROL,
                    &sleep_ops, power);

    return r < 0 ? err_trace(r) : 0;
}
