/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.h - the user's terminal while a guest is attached to it.
 *
 * Raw mode is left again on every way out: terminal_restore(), exit(), and the fatal signals.
 * Output keeps its newline translation, so that log lines of the broker stay readable. */
#pragma once

#include "base/compiler.h"

/* Sets fd raw when it is a terminal and this process is in its foreground. Returns 1 when it is
 * raw now, 0 when it is no terminal (or not ours at present), or a negative errno. */
int terminal_raw(int fd) must_check;
/* Puts the settings back; may be called at any time, also from a signal handler. */
void terminal_restore(void);
/* A descriptor of the terminal (or a duplicate of what else fd is) to hand to another process:
 * a terminal is opened anew, so that the other side's O_NONBLOCK stays off our description. */
int terminal_share(int fd, int flags) must_check;
