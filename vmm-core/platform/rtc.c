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
    B_SET = 0x80,
    B_24_HOURS = 0x02, /* and BCD: no others can be had */
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

static int from_bcd(uint8_t v)
{
    return (v & 0xf) <= 9 && v >> 4 <= 9 ? (v >> 4) * 10 + (v & 0xf) : -1;
}

static bool is_clock(uint8_t index)
{
    switch (index) {
    case REG_SECONDS:
    case REG_MINUTES:
    case REG_HOURS:
    case REG_WEEKDAY:
    case REG_DAY:
    case REG_MONTH:
    case REG_YEAR:
    case REG_CENTURY:
        return true;
    default:
        return false;
    }
}

/* The clock's registers, now, into cmos. */
static void latch(struct rtc *rtc)
{
    time_t now = rtc->now() + rtc->offset_s;
    struct tm tm = { 0 };

    gmtime_r(&now, &tm);
    rtc->cmos[REG_SECONDS] = bcd(tm.tm_sec);
    rtc->cmos[REG_MINUTES] = bcd(tm.tm_min);
    rtc->cmos[REG_HOURS] = bcd(tm.tm_hour);
    rtc->cmos[REG_WEEKDAY] = bcd(tm.tm_wday + 1);
    rtc->cmos[REG_DAY] = bcd(tm.tm_mday);
    rtc->cmos[REG_MONTH] = bcd(tm.tm_mon + 1);
    rtc->cmos[REG_YEAR] = bcd(tm.tm_year % 100);
    rtc->cmos[REG_CENTURY] = bcd((tm.tm_year + 1900) / 100);
}

/* The clock goes on from what is in cmos; from where it was if that is no time. The day of the week
 * follows from the date. */
static void unlatch(struct rtc *rtc)
{
    static const struct {
        uint8_t index, min, max;
    } fields[] = { { REG_SECONDS, 0, 59 }, { REG_MINUTES, 0, 59 }, { REG_HOURS, 0, 23 },
                   { REG_DAY, 1, 31 },     { REG_MONTH, 1, 12 },   { REG_YEAR, 0, 99 },
                   { REG_CENTURY, 19, 99 } };
    struct tm tm = { 0 };
    int v[ARRAY_SIZE(fields)];

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        v[i] = from_bcd(rtc->cmos[fields[i].index]);
        if (v[i] < fields[i].min || v[i] > fields[i].max)
            return;
    }
    tm.tm_sec = v[0];
    tm.tm_min = v[1];
    tm.tm_hour = v[2];
    tm.tm_mday = v[3];
    tm.tm_mon = v[4] - 1;
    tm.tm_year = v[6] * 100 + v[5] - 1900;
    rtc->offset_s = (int64_t)timegm(&tm) - rtc->now();
}

/* Each register is read on its own; guests read until two rounds agree, or wait for the update
 * flag, which is never set here. */
static uint8_t read_register(struct rtc *rtc, uint8_t index)
{
    switch (index) {
    case REG_A:
        return A_32KHZ_1024HZ;
    case REG_B:
        return B_24_HOURS | (rtc->setting ? B_SET : 0);
    case REG_C:
        return 0;
    case REG_D:
        return D_VALID;
    default:
        if (is_clock(index) && !rtc->setting)
            latch(rtc);
        return rtc->cmos[index];
    }
}

/* Guests stop the clock, write its registers and start it again; one that writes while it runs sets
 * that register alone. */
static void write_register(struct rtc *rtc, uint8_t index, uint8_t value)
{
    if (index == REG_B) {
        bool setting = value & B_SET;

        if (setting && !rtc->setting)
            latch(rtc);
        if (!setting && rtc->setting)
            unlatch(rtc);
        rtc->setting = setting;
    } else if (is_clock(index)) {
        if (!rtc->setting)
            latch(rtc);
        rtc->cmos[index] = value;
        if (!rtc->setting)
            unlatch(rtc);
    } else if (index > REG_D) {
        rtc->cmos[index] = value;
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
    else
        write_register(rtc, rtc->index, (uint8_t)value);
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
