/* SPDX-License-Identifier: Apache-2.0 */
/* action.h - what is to be done about an event, in this order. Texts are copied. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hostd/rules/event.h"

enum host_action_kind {
    HOST_ASK,         /* the starter: ask, asks, channel; vm */
    HOST_LINK,        /* the descriptor that was reported leads to vm's broker: a session with it */
    HOST_UNLINK,      /* vm's session */
    HOST_DROP_LAUNCH, /* vm's launcher: nothing is expected of it any more */
    HOST_TELL,        /* vm's session: body */
    HOST_FORGET,      /* vm: it is gone, after this */
    HOST_REPLY,  /* ticket: error, bad_input, text; flag: with the descriptors that were reported */
    HOST_ANSWER, /* ticket: answer, about vm or the request */
    HOST_NOTICE, /* who follows: vm, sequence, of_tenant; said: the broker's own event, else name and text */
    HOST_CLOSE, /* session */
    HOST_LOG,   /* flag: an error, not a warning */
    HOST_READY, /* from now on sessions are heard */
    HOST_QUIT,  /* flag: it failed, and text says why */
};

enum ask_kind {
    ASK_NONE,
    ASK_TERMS,
    ASK_LOAD,
    ASK_SAVE,
    ASK_REMOVE,
    ASK_START,
    ASK_CONNECT, /* channel */
    ASK_CONSOLE,
    ASK_LOGS, /* channel */
    ASK_KILL,
    ASK_NOTE, /* note */
    ASK_GIVE, /* vm's device */
};

enum ask_channel { CHANNEL_NONE, CHANNEL_COMMAND, CHANNEL_CONSOLE, CHANNEL_BROKER };

enum answer_kind {
    ANSWER_LIST,    /* the VMs that the request's labels and `after` name */
    ANSWER_DETAILS, /* of vm */
    ANSWER_TENANTS,
    ANSWER_HOST,
};

/* What a session with a VM's broker may do that is handed out. */
struct session_limits {
    bool limited, no_programs, no_user_net;
    uint32_t max_devices;
};

struct host_action {
    enum host_action_kind kind;
    uint64_t vm, session; /* serials */
    uint32_t ask;
    enum ask_kind asks;
    enum ask_channel channel;
    enum answer_kind answer;
    Bulkhead__ClientEnvelope__BodyCase body;
    struct host_ticket ticket;
    struct session_limits limits; /* HOST_REPLY with a descriptor: said there first */
    bool flag;
    int error;
    bool bad_input;
    uint64_t sequence, of_tenant; /* among all events, and among its tenant's */
    const Bulkhead__Event *said;
    const ProtobufCBinaryData *note; /* the request's */
    const char *name;                /* static */
    char tenant[33], vm_name[49];    /* HOST_NOTICE; HOST_ASK without a vm */
    char text[FAULT_TEXT_MAX];
};

struct host_actions {
    size_t n, room;
    struct host_action *list;
    bool full; /* one was lost, for want of memory */
    struct host_action spare;
};

void host_actions_deinit(struct host_actions *actions);
/* The new last one. Never NULL. */
struct host_action *host_action_add(struct host_actions *actions, enum host_action_kind kind);
void host_action_log(struct host_actions *actions, bool error, const char *fmt, ...)
    printf_like(3, 4);
