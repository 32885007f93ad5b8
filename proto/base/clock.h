/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - what a clock of clock_gettime(2) says, as one number. */
#pragma once

#include <stdint.h>
#include <time.h>

uint64_t clock_ns(clockid_t clock);
int64_t clock_ms(clockid_t clock); /* signed, for differences */
