/* SPDX-License-Identifier: Apache-2.0 */
/* worker_run.h - the loop of every device process; for worker_main.c. */
#pragma once

#include "base/compiler.h"

struct worker;

/* Adds the loop's events; before the sandbox, for they need descriptors. 0 or negative errno. */
int worker_watch(struct worker *w) must_check;
/* Until the worker leaves or fails: the exit status. */
int worker_run(struct worker *w);
