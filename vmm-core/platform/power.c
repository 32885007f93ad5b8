/* SPDX-License-Identifier: Apache-2.0 */
/* power.c - see power.h. ACPI 6.4 sections 4.8.3.7 (sleep control), 4.8.3.6 (reset), 5.6.9 (GED). */
#include "platform/power.h"

#include "base/err.h"
#include "shm/layout.h"

enum {
    SLEEP_ENABLE = 1 << 5,
    SLEEP_TYPE_SHIFT = 2,
    SLEEP_TYPE_MASK = 7,
    GED_BYTES = 4,
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

static uint64_t ged_read(void *dev, uint64_t off, unsigned size)
{
    struct power *power = dev;
    uint64_t value;

    pthread_mutex_lock(&power->lock);
    value = bus_image_read(&power->ged_status, sizeof power->ged_status, off, size);
    if (off == 0 && power->ged_status != 0) {
        power->ged_status = 0;
        hv_irq_line(power->hv, LAYOUT_GSI_GED, false);
    }
    pthread_mutex_unlock(&power->lock);
    return value;
}

static void ged_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    (void)dev, (void)off, (void)size, (void)value; /* read clears */
}

static const struct bus_ops sleep_ops = { .read = sleep_read, .write = sleep_write };
static const struct bus_ops ged_ops = { .read = ged_read, .write = ged_write };

void power_init(struct power *power, struct hv *hv,
                void (*on_event)(void *arg, enum power_event event), void *arg)
{
    *power = (struct power){ .hv = hv, .on_event = on_event, .arg = arg };
    pthread_mutex_init(&power->lock, NULL);
}

int power_add_to(struct power *power, struct bus *pio)
{
    int r = bus_add(pio, LAYOUT_PIO_SLEEP_CONTROL, LAYOUT_PIO_RESET + 1 - LAYOUT_PIO_SLEEP_CONTROL,
                    &sleep_ops, power);

    if (r == 0)
        r = bus_add(pio, LAYOUT_PIO_GED, GED_BYTES, &ged_ops, power);
    return r < 0 ? err_trace(r) : 0;
}

void power_button(struct power *power)
{
    pthread_mutex_lock(&power->lock);
    if (power->ged_status == 0)
        hv_irq_line(power->hv, LAYOUT_GSI_GED, true);
    power->ged_status |= LAYOUT_GED_POWER_BUTTON;
    pthread_mutex_unlock(&power->lock);
}
