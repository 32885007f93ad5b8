/* SPDX-License-Identifier: Apache-2.0 */
/* out.h - what the starter has to tell hostd, until hostd takes it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"
#include "hostd/starter/wire.h"

enum { OUT_ROOM = 32 }; /* requests are read while fewer wait */

struct out_item;
struct out {
    struct out_item *first, **last;
    unsigned n;
};

void out_init(struct out *out);
void out_clear(struct out *out);
/* fds are taken over. Without memory for it nothing is said, as if it had been lost with this process. */
void out_add(struct out *out, const struct starter_report *report, const void *bytes, int *fds,
             unsigned n_fds);
enum {
    OUT_NO_ROOM = 1, /* until the socket can be written to */
    OUT_LATER,       /* too many descriptors are in flight: to be tried again */
};
/* Sends what the socket has room for. 0: all; one of the two above; or a negative errno: hostd is gone. */
int out_send(struct out *out, int socket_fd) must_check;
