/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - `bulkhead run` on a terminal of its own, against a broker that the test plays: the program is copied beside a
 * copy of the test under the broker's name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>
#include "client.pb-c.h"
#include "ipc/channel.h"

enum { RIG_TIMEOUT_MS = 30000, RIG_POLL_MS = 10 };

/* ---- the broker's part ---- */

/* The descriptors that come with it stay open; *ret_tty is the first, or -1. */
const Bulkhead__ClientEnvelope *rig_receive(struct channel *channel, int *ret_tty);
void rig_send_ended(struct channel *channel, Bulkhead__GuestStateKind state, bool by_user,
                    bool host_failure);
/* "booted" */
void rig_send_event(struct channel *channel);
void rig_make(const char *path);
/* The file $LOCK, made and locked; -1. */
int rig_open_locked(void);

/* ---- the test's part ---- */

struct rig {
    char dir[64], go[96];
    int master;
    pid_t pid;
    struct termios before;
    int errors; /* what its stderr is to be, in place of the terminal; -1 */
    bool audits;
    int passed; /* open in it as well; -1 */
    char text[8192];
};

int rig_setup(void **state);
int rig_teardown(void **state);
/* The broker plays $PART, once rig_go() was called. flag: one more, with its value; NULL: none. */
void rig_start(struct rig *f, const char *part, const char *flag, const char *value);
void rig_go(struct rig *f);
void rig_await(const char *path);
bool rig_is_raw(struct rig *f);
void rig_await_raw(struct rig *f, bool raw);
/* Its exit status, or the negative number of a signal, when it has ended; the terminal is as it was. */
int rig_finish(struct rig *f);
