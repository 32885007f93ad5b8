/* SPDX-License-Identifier: Apache-2.0 */
/* answers.h - messages that tell of the facts. Each shows what its asker may see. */
#pragma once

#include "hostd/rules/facts.h"

struct answer; /* the message, and all that it points to */

/* The answer to a HOST_ANSWER, right after the step that it came of. request: what was asked in that step (a list's
 * labels). NULL: there is no memory. */
struct answer *answers_make(struct host *host, const struct host_action *action,
                            const Bulkhead__HostEnvelope *request);
const Bulkhead__HostEnvelope *answers_envelope(const struct answer *answer);
void answers_free(struct answer *answer);
/* What is kept of a VM, for ASK_SAVE: on the heap, with its length. NULL: there is no memory. */
uint8_t *answers_description(const struct host_vm *vm, size_t *ret_len);
