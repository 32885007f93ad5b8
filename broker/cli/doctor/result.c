// SPDX-License-Identifier: Apache-2.0
// result.c - what a check found.
#include "doctor/result.h"
#include <stdarg.h>
#include <stdio.h>

void doctor_ok(struct doctor_result *r, const char *fmt, ...)
{
    va_list ap;

    r->verdict = DOCTOR_OK;
    va_start(ap, fmt);
    vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
    va_end(ap);
}

void doctor_missing(struct doctor_result *r, bool optional, const char *detail, const char *cure)
{
    r->verdict = optional ? DOCTOR_OPTIONAL_MISSING : DOCTOR_MISSING;
    snprintf(r->detail, sizeof(r->detail), "%s", detail);
    snprintf(r->cure, sizeof(r->cure), "%s", cure);
}
