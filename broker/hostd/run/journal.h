/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h - all events of the service, for who runs the host: to journald with fields, where that has what is logged, else
 * to the log as lines of JSON. Nobody is waited for. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "host.pb-c.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
enum { JOURNAL_PER_S = 50 }; /* of each tenant's; further ones are counted */

struct journal;

/* Before the sandbox, which lets nothing be connected. path: journald's socket; NULL: to the log. */
int journal_new(struct journal **ret_journal, const char *path) must_check;
void journal_free(struct journal *journal);
void journal_tell(struct journal *journal, const Bulkhead__HostEvent *event, uint64_t now_ns);
