/* SPDX-License-Identifier: Apache-2.0 */
/* course.h - what is to be done next for a fleet to come up, or to go down: rules alone. Facts are what the service says of
 * each VM and what came of what was done; all else follows from them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "fleet/fleet.h"

enum course_op {
    OP_NONE,
    OP_AWAIT_STOP, /* it is on its way down */
    OP_REMOVE,
    OP_CREATE, /* and start */
    OP_START,
    OP_READY, /* wait for its condition */
    OP_HALT,
};

enum course_end { END_NONE, END_DONE, END_FAILED, END_SKIPPED };

struct course_vm {
    bool there;   /* the service has it */
    bool differs; /* ... described otherwise */
    bool runs, leaves;
    bool ready;
    enum course_op busy;
    enum course_end end;
    size_t because; /* END_SKIPPED: who failed, or was skipped, before it */
};

struct course {
    const struct fleet *fleet;
    bool down;             /* else up */
    bool recreate;         /* up: what is described otherwise is removed; else it fails */
    bool remove;           /* down: what is stopped is removed too */
    unsigned at_once;      /* that many things that the service does for us; waiting is none */
    struct course_vm *vms; /* as many as the fleet has */
};

/* What may be done now, and is taken to be under way then. False: nothing, until something is done. */
bool course_next(struct course *course, size_t *ret_vm, enum course_op *ret_op);
/* What was under way for that VM has succeeded, or failed. */
void course_done(struct course *course, size_t vm, bool ok);
bool course_is_over(const struct course *course);
size_t course_count(const struct course *course, enum course_end end);
/* The VM does what its description says, as far as that goes without its condition. */
bool course_is_up(const struct course_vm *vm);
