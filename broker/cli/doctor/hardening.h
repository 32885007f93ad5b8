/* SPDX-License-Identifier: Apache-2.0 */
/* hardening.h - settings of the host that hardening guides turn. */
#pragma once

#include <stddef.h>

/* One that is turned on here, by a hardening guide or whoever started us. */
struct doctor_setting {
    char name[64];
    char value[64];
    char costs[160]; /* what Bulkhead can't do because of it, for this user; "": nothing */
    char cure[120];  /* "" when it costs nothing */
};
enum { DOCTOR_MAX_SETTINGS = 24 };
size_t doctor_settings(struct doctor_setting *ret_settings, size_t max);
