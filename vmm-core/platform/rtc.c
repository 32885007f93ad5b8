/* SPDX-License-Identifier: Apache-2.0 */
/* rtc.c - see rtc.h. */
#include "platform/rtc.h"

#include "base/err.h"
#include "shm/layout.h"

enum {
    REG_SECONDS = 0,
    REG_MINUTES = 2,
    REG_HOURS = 4,
    REG_WEEKDAY = 6,
    REG_DAY = 7,
    REG_MONTH = 8,
    REG_YEAR = 9,
    REG_A = 10,
    REG_B = 11,
    REG_C = 12,
    REG_D = 13,
    REG_CENTURY = 0x32,
    A_32KHZ_1024HZ = 0x26,
    B_24_HOURS = 0x02, /* and BCD */
    D_VALID = 0x80,
};

static time_t host_time(void)
{
    struct timespec ts = { 0 };

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec;
}

static uint8_t bcd(int v)
{
    return (uint8_t)(v / 10 % 10 << 4 | v % 10);
}

/* Each register is read on its own; guests read until two rounds agree, or wait for the update
 * flag, which is never set here. */
static uint8_t read_register(struct rtc *rtc, uint8_t index)
{
    time_t now = rtc->now();
    struct tm tm = { 0 };

    gmtime_r(&now, &tm);
    switch (index) {
    case REG_SECONDS:
        return bcd(tm.tm_sec);
    case REG_MINUTES:
        return bcd(tm.tm_min);
    case REG_HOURS:
        return bcd(tm.tm_hour);
    case REG_WEEKDAY:
        return bcd(tm.tm_wday + 1);
    case REG_DAY:
        return bcd(tm.tm_mday);
    case REG_MONTH:
        return bcd(tm.tm_mon + 1);
    case REG_YEAR:
        return bcd(tm.tm_year % 100);
    case REG_CENTURY:
        return bcd((tm.tm_year + 1900) / 100);
    case REG_A:
        return A_32KHZ_1024HZ;
    case REG_B:
        return B_24_HOURS;
    case REG_C:
        return 0;
    case REG_D:
        return D_VALID;
    default:
        return rtc->cmos[index];
    }
}

static uint64_t on_read(void *dev, uint64_t off, unsigned size)
{
    struct rtc *rtc = dev;
    uint64_t value = bus_ones(size);

    if (size != 1 || off != 1)
        return value; /* the index can't be read back */
    pthread_mutex_lock(&rtc->lock);
    value = read_register(rtc, rtc->index);
    pthread_mutex_unlock(&rtc->lock);
    return value;
}

static void on_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct rtc *rtc = dev;

    if (size != 1)
        return;
    pthread_mutex_lock(&rtc->lock);
    if (off == 0)
        rtc->index = value & (RTC_CMOS_BYTES - 1); /* bit 7 masks NMIs */
    else if (rtc->index > REG_D && rtc->index != REG_CENTURY)
        rtc->cmos[rtc->index] = (uint8_t)value;
    pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_ops = { .read = on_read, .write = on_write };

void rtc_init(struct rtc *rtc)
{
    *rtc = (struct rtc){ .now = host_time };
    pthread_mutex_init(&rtc->lock, NULL);
}

int rtc_add_to(struct rtc *rtc, struct bus *pio)
{
    return bus_add(pio, LAYOUT_PIO_RTC, 2, &rtc_ops, rtc);
}
