/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - "web: starting, 3 s" while the host's service is at it, at a terminal alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "host_client.h"

struct progress {
    int64_t start_ms, end_ms; /* monotonic */
    bool shown;
};

/* patience_ms: how long all that is asked for may take. */
void progress_begin(struct progress *ret_progress, int patience_ms);
/* As host_receive(), but says on stderr that it waits for `what` of `vm`, and gone is all that when it returns. */
int progress_receive(struct progress *progress, struct host *host, const char *vm, const char *what,
                     struct host_answer *ret_answer) must_check;
