/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h - the broker's log on its way to where it is to go. A broker that was taken over, and had the terminal itself,
 * would read what is typed there, change its mode and write what it likes; if it had the log file, it would erase what
 * was logged before. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"
#include "outlet.h"

struct relay {
    int fd;             /* read end, or -1 */
    struct outlet *out; /* the caller's */
    char line[512];
    size_t n; /* bytes of a line whose end hasn't come */
};

/* ret_log_fd is for the broker, the caller closes it. Negative errno. */
int relay_open(struct relay *ret_relay, struct outlet *out, int *ret_log_fd) must_check;
/* Passes on what has come, without waiting for more: whole lines, cleaned, and a part of it each time, so that one who
 * never ends doesn't keep us from all else. False: there was nothing. */
bool relay_read(struct relay *relay);
void relay_close(struct relay *relay);
