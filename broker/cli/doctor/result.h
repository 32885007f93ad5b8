/* SPDX-License-Identifier: Apache-2.0 */
/* result.h - what a check of `bulkhead doctor` says. Each really does what it asks about, in a child
 * process where the doing would change this one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum doctor_verdict {
    DOCTOR_OK,
    DOCTOR_REPLACED,         /* not there, and something as good is */
    DOCTOR_OPTIONAL_MISSING, /* works without, with less */
    DOCTOR_MISSING,          /* Bulkhead can't start a VM without it */
};

struct doctor_result {
    enum doctor_verdict verdict;
    char detail[320]; /* what was found */
    char cure[320];   /* how to get it; "" when nothing is missing */
};

struct doctor_check {
    const char *id;
    const char *title;
    void (*run)(struct doctor_result *result);
};

void doctor_ok(struct doctor_result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void doctor_missing(struct doctor_result *r, bool optional, const char *detail, const char *cure);
