/* SPDX-License-Identifier: Apache-2.0 */
/* run_output.h - what `bulkhead run` says while a VM runs, and to whom. None of them has it wait: a reader who doesn't read
 * would keep the terminal raw, and signals from being heard. */
#pragma once

#include <poll.h>
#include <stdio.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "options/run_flags.h"
#include "outlet.h"

struct run_output {
    struct outlet errors; /* stderr: ours, and the broker's log where there is no --log-file */
    FILE *said;           /* the same; NULL: it is closed */
    struct outlet log;    /* --log-file */
    struct outlet events; /* JSON lines */
};

void run_output_init(struct run_output *out);
/* From here on say_error() doesn't wait either. EXIT_OK, or an exit status after one line of error. */
int run_output_open(struct run_output *out, const struct vm_options *options) must_check;
void run_output_close(struct run_output *out);
/* A JSON line, if anybody wants them. Negative errno: nobody does any more. */
int run_output_put(struct run_output *out, const Bulkhead__Event *event);
void run_output_print(struct run_output *out, const Bulkhead__Event *event);
/* For poll(): what it is behind with. */
struct pollfd run_output_behind(const struct outlet *outlet);
/* At the end: who reads has a moment, or until stop_fd (-1: none) is readable. */
void run_output_drain(struct run_output *out, int stop_fd);
/* In a child: it has nothing else open, but the standard three. */
void run_output_in_child(struct run_output *out);
