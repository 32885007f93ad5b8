/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - hostd's process: what its parts have in common. Each part has its own state behind a pointer; what happens
 * goes to the rules through `happen`, which run/happen.c sets. */
#pragma once

#include <stdint.h>
#include "base/loop.h"
#include "hostd/rules/facts.h"
#include "hostd/starter/wire.h"

struct closer;
struct journal;
struct lines;
struct links;
struct notifier;
struct sessions;
struct starter_link;

struct service {
    struct loop *loop;
    struct host host;
    struct starter_link *starter;
    struct links *links;
    struct lines *lines;
    struct sessions *sessions;
    struct closer *closer;
    struct journal *journal;
    struct notifier *notifier; /* NULL: nobody is to be told */
    struct loop_event *deadline;
    void (*happen)(struct service *s, struct host_event *event);
    void (*line_ended)(struct service *s, uint64_t vm); /* of its guest's; lines_new() sets it */
    /* Of the event that is looked at: descriptors that the starter sent. Who takes one sets it to -1. */
    int reported[STARTER_MAX_FDS];
    bool failed;
};
