/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - why a request can't be done, as the one line its user reads: what is wrong and what
 * to do about it. Filled by whoever finds it, shown once by the session. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include "base/compiler.h"
#include "client.pb-c.h"

enum { FAULT_TEXT_MAX = 400 };

struct fault {
    int error;      /* positive errno value */
    bool bad_input; /* the user's value, file or environment, not a failure of the host */
    char text[FAULT_TEXT_MAX];
};

/* Each fills *fault and return -error, so that `return fault_input(...)` reads well. */
int fault_input(struct fault *fault, const char *fmt, ...) printf_like(2, 3);
/* The same of what would be right at another time: EALREADY. */
int fault_state(struct fault *fault, const char *fmt, ...) printf_like(2, 3);
int fault_host(struct fault *fault, int error, const char *fmt, ...) printf_like(3, 4);
/* As the answer to a request (error 0: it was done); its text stays the fault's own. */
Bulkhead__Reply fault_reply(const struct fault *fault);
