/* SPDX-License-Identifier: Apache-2.0 */
/* rtc.h - enough of an MC146818 that a guest reads the host's time (UTC) and may set its own: what it
 * is off by is kept in whole seconds, as long as this process lives. No alarm, no interrupt. The CMOS
 * bytes behind the clock are plain storage, zero at first. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "base/compiler.h"
#include "bus/bus.h"

enum { RTC_CMOS_BYTES = 128 };

struct rtc {
    pthread_mutex_t lock;
    uint8_t index;
    bool setting;     /* the guest stopped the clock: its registers are those in cmos */
    int64_t offset_s; /* the guest's time less the host's */
    uint8_t cmos[RTC_CMOS_BYTES];
    time_t (*now)(void); /* replaced by tests */
};

void rtc_init(struct rtc *rtc);
int rtc_add_to(struct rtc *rtc, struct bus *pio) must_check;
