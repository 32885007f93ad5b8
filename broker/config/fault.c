/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - see fault.h. */
#include "config/fault.h"

#include <stdarg.h>
#include <stdio.h>

int fault_input(struct fault *fault, const char *fmt, ...)
{
    va_list args;

    fault->error = EINVAL;
    fault->bad_input = true;
    va_start(args, fmt);
    vsnprintf(fault->text, sizeof fault->text, fmt, args);
    va_end(args);
    return -EINVAL;
}

int fault_state(struct fault *fault, const char *fmt, ...)
{
    va_list args;

    fault->error = EALREADY;
    fault->bad_input = true;
    va_start(args, fmt);
    vsnprintf(fault->text, sizeof fault->text, fmt, args);
    va_end(args);
    return -EALREADY;
}

int fault_host(struct fault *fault, int error, const char *fmt, ...)
{
    va_list args;

    fault->error = error < 0 ? -error : error;
    fault->bad_input = false;
    va_start(args, fmt);
    vsnprintf(fault->text, sizeof fault->text, fmt, args);
    va_end(args);
    return fault->error ? -fault->error : -EIO;
}

Bulkhead__Reply fault_reply(const struct fault *fault)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;

    reply.error = fault->error;
    reply.bad_input = fault->bad_input;
    reply.text = (char *)(uintptr_t)fault->text; /* only read when it is packed */
    return reply;
}
