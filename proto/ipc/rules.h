/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - which message is legal from whom, in which state, with how many descriptors.
 * The table is in rules.c; every receiver asks it before any handler runs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "control.pb-c.h"

/* The life of a child, as both ends see it. */
enum child_state {
    CHILD_STARTED,    /* exec'ed; Hello is due from the child */
    CHILD_GREETED,    /* Hello accepted; Configure is due from the broker */
    CHILD_CONFIGURED, /* Configure sent; Ready (or Failed) is due from the child */
    CHILD_READY,      /* in its sandbox; not started (core, loader) or not activated (worker) */
    CHILD_RUNNING,    /* core: Start sent; loader: Start sent; worker: Activate sent */
    CHILD_QUIESCED,   /* worker: Quiesce answered; core: vCPUs paused */
    CHILD_ENDED,      /* said Failed, or Stop was sent */
    CHILD_STATE__MAX,
};

enum rule_dir { RULE_FROM_CHILD, RULE_TO_CHILD };

/* Largest time a field may have: every length in a message is checked here too. */
enum {
    RULE_MAX_CONFIG_BYTES = 256,
    RULE_MAX_UPDATE_BYTES = 64,
    RULE_MAX_QUEUES = 64,
};

/* 0 when a child of this role may send (or be sent) this message with n_fds descriptors in this
 * state; -EPROTO with an origin that names message, role and state otherwise; -EBADMSG when a
 * required part is missing or a field is out of its range. */
int rules_check(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                const Bulkhead__Envelope *envelope, size_t n_fds);
/* The state after that message; the same state for most. */
enum child_state rules_next(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                            const Bulkhead__Envelope *envelope);
/* The same two of a message whose content is not known yet. */
bool rules_legal(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                 Bulkhead__Envelope__BodyCase body);
enum child_state rules_after(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                             Bulkhead__Envelope__BodyCase body);
/* Whether descriptors may come with any message of a child of this role. */
bool rules_may_bring_fds(Bulkhead__Role role);
const char *rules_body_name(Bulkhead__Envelope__BodyCase body);
const char *rules_state_name(enum child_state state);
const char *role_name(Bulkhead__Role role); /* "core", "loader", "blk", ... */

enum { PROTOCOL_MIN = 2, PROTOCOL_MAX = 2 };
