/* SPDX-License-Identifier: Apache-2.0 */
/* rtc.h - enough of an MC146818 that a guest reads the host's time (UTC): no alarm, no interrupt.
 * The CMOS bytes behind the clock are plain storage, zero at first. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include "base/compiler.h"
#include "bus/bus.h"

enum { RTC_CMOS_BYTES = 128 };

struct rtc {
    pthread_mutex_t lock;
    uint8_t index;
    uint8_t cmos[RTC_CMOS_BYTES];
    time_t (*now)(void); /* replaced by tests */
};

void rtc_init(struct rtc *rtc);
int rtc_add_to(struct rtc *rtc, struct bus *pio) must_check;
