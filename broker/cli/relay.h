/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h - the broker's log on its way to our terminal. A broker that had the terminal itself, and was taken over,
 * would read what is typed there, change its mode and write what it likes. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"

struct relay {
    int fd; /* read end, or -1: the log doesn't go to a terminal */
    char line[512];
    size_t n; /* bytes of a line whose end hasn't come */
};

/* Where stderr is a terminal: ret_log_fd is for the broker, the caller closes it; else -1. Negative errno. */
int relay_open(struct relay *ret_relay, int *ret_log_fd) must_check;
/* Prints what has come, without waiting, on stderr: whole lines, cleaned. */
void relay_read(struct relay *relay);
void relay_close(struct relay *relay);
