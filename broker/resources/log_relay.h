/* SPDX-License-Identifier: Apache-2.0 */
/* log_relay.h - a child's log pipe, read by the broker. The bytes are a child's and so perhaps an
 * attacker's: control characters are replaced, lines are cut and the rate is limited before they
 * reach the user's terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"
#include "base/loop.h"

struct log_relay;

/* Owns fd, the non-blocking read end. name is copied and put before each line. */
int log_relay_new(struct log_relay **ret_relay, struct loop *loop, int fd,
                  const char *name) must_check;
/* Reads what is left and closes. */
void log_relay_free(struct log_relay *relay);
/* Lines are kept for log_relay_last() and not printed. */
void log_relay_set_quiet(struct log_relay *relay, bool quiet);
/* The last line that was relayed, "" when none: a dying child's last words. */
const char *log_relay_last(const struct log_relay *relay);
/* The child is gone: reads all that it left, its last line too if that has no end. */
void log_relay_end(struct log_relay *relay);

/* Replaces control characters and non-ASCII bytes by '?'; for tests, and for all text of children
 * that is shown. */
void log_relay_clean(char *text, size_t len);
