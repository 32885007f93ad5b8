/* SPDX-License-Identifier: Apache-2.0 */
/* action.h - what is to be done about an event, in this order. Texts are copied. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/fault.h"
#include "control.pb-c.h"
#include "ipc/rules.h"
#include "vm/event.h"

enum action_kind {
    ACTION_START,          /* child */
    ACTION_TELL,           /* child: body, as it was in `state`; flag, from, to, text */
    ACTION_KILL,           /* child */
    ACTION_FORGET,         /* child is gone */
    ACTION_DROP_RING,      /* child's io_uring, which the spawner holds */
    ACTION_CONNECT,        /* child (vsock) wants `port`; answered with `token` */
    ACTION_KEEP_CLIENT,    /* device's console: the descriptor that came; flag: there is one */
    ACTION_OPEN_PROGRAM,   /* device: what is installed now, for an upgrade */
    ACTION_DROP_CANDIDATE, /* device: the program that an upgrade tried */
    ACTION_PROMOTE,        /* device: that program is the device's, the one before is kept */
    ACTION_ROLL_BACK,      /* device: the one before is the device's again */
    ACTION_OLD_STREAM,     /* device: the stream before passt's last is of no more use */
    ACTION_ATTACH_TAP,     /* device */
    ACTION_FREE_DEVICE,    /* device: its place is free, and all that was opened for it is closed */
    ACTION_MAKE_BOOT,      /* guest RAM, rings, eventfds */
    ACTION_FREE_BOOT,
    ACTION_LOUD,   /* device's passt: its messages are shown from now on */
    ACTION_LOG,    /* flag: an error, not a warning */
    ACTION_NOTICE, /* an event for whoever listens: source, name, keys, and values in text */
    ACTION_REPLY,  /* ticket: error, bad_input, text */
    ACTION_ENDED,
};

enum { ACTIONS_MAX = 224, ACTION_MAX_KEYS = 4 };

struct action {
    enum action_kind kind;
    uint32_t child;
    unsigned device;
    Bulkhead__Envelope__BodyCase body;
    enum child_state state;
    bool flag;
    uint32_t port, token;
    size_t from, to;
    struct ticket ticket;
    int error;
    bool bad_input;
    const char *source, *name; /* static */
    const char *keys[ACTION_MAX_KEYS];
    char text[FAULT_TEXT_MAX]; /* a notice's values: one after the other, each with its zero */
};

struct actions {
    unsigned n;
    bool full; /* one was lost */
    struct action list[ACTIONS_MAX];
};

/* The new last one. Never NULL. */
struct action *action_add(struct actions *actions, enum action_kind kind);
struct action *action_add_child(struct actions *actions, enum action_kind kind, uint32_t child);
struct action *action_add_device(struct actions *actions, enum action_kind kind, unsigned device);
void action_log(struct actions *actions, bool error, const char *fmt, ...) printf_like(3, 4);
/* Up to ACTION_MAX_KEYS pairs of key (static) and value, then NULL. */
void action_notice(struct actions *actions, const char *source, const char *name, ...)
    __attribute__((sentinel));
/* fault->error 0: it is done, fault->text says what. Nothing for a ticket of nobody; clears it. */
void action_reply(struct actions *actions, struct ticket *ticket, const struct fault *fault);
void action_reply_ok(struct actions *actions, struct ticket *ticket, const char *fmt, ...)
    printf_like(3, 4);
