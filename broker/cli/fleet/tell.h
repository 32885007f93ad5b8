/* SPDX-License-Identifier: Apache-2.0 */
/* tell.h - what a fleet's coming up, or going down, looks like: a line for each thing that happened, a line of progress at a
 * terminal, and at the end what came of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "fleet/course.h"
#include "fleet/look.h"

struct tell_vm {
    int64_t begun_ms; /* what is under way */
    bool was_started; /* by us */
    bool said;        /* its end */
    const char *why;  /* it failed */
};

struct tell {
    struct fleet *fleet;
    const struct course *course;
    const struct look *looks;
    bool json, shown, acted;
    int64_t begun_ms, shown_ms;
    struct tell_vm *vms;
};

void tell_begin(struct tell *tell, struct fleet *fleet, const struct course *course,
                const struct look *looks, bool json);
void tell_begun(struct tell *tell, size_t vm, enum course_op op);
/* text: why it failed; the fleet's bag has it. */
void tell_done(struct tell *tell, size_t vm, enum course_op op, bool ok, const char *text);
/* What came to its end without anything being done for it; and the line of progress. */
void tell_progress(struct tell *tell);
/* The exit status. cut: something else than that ended it. */
int tell_end(struct tell *tell, bool interrupted, bool cut);
