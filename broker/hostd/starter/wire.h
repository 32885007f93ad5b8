/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - what hostd asks of the starter, and what it is told.
 *
 * The starter is the service's first process: root's, or the user's. It forks hostd, the other end of a private
 * SOCK_SEQPACKET pair. hostd hears every tenant and may be taken over, so it is believed nothing: a request names an
 * operation, a tenant and a VM, whose letters are checked, and perhaps brings bytes that are stored and never
 * looked at. Who a tenant is the starter knows from tenants.pb, which it reads itself.
 *
 * A datagram is one struct, then `len` bytes. Each request has a number that isn't 0, and gets exactly one
 * STARTER_DONE of that number, after all else that answers it, in whatever order requests are done. Neither side
 * waits for the other's socket: what it doesn't take is kept until it does. Where one ends the other ends too.
 *
 * START: `fd` [hostd's channel to the launcher]. The starter makes the VM's folders, starts its bulkhead-console if it has
 * none, bulkhead-broker --service, and bulkhead-broker --launch with the tenant's rights and that channel. DONE: they
 * were started. Then hostd sends the launcher a client.proto ClientEnvelope RunVm with the configuration. The launcher
 * answers with Reply (error 0: the guest runs), Events on the way, and after it passes on what the VM's broker
 * says, VmEnded above all, until hostd closes the channel: hostd does when it has a session of its own.
 * GIVE: the same for a VM that runs: `fd` [hostd's channel to the launcher]. bulkhead-broker --launch gets that channel and a
 * session with the VM's broker. Then hostd sends it AddDevice with the configuration of one device, and hears Reply. EAGAIN: one is
 * at work for that VM, or its broker is away.
 * EBUSY: there is such a VM, or it is being removed. ENOENT: there is no such tenant (of all others but SAVE: the VM isn't there).
 * EDQUOT, of SAVE too: it would be one more than the tenant may have, or than there are to be. */
#pragma once

#include <stdint.h>
#include "client/hostdir.h"

enum {
    STARTER_MAX_BYTES = 61440, /* after the struct: a description, a piece of tenants.pb */
    STARTER_MAX_TERMS = 1 << 20,
    STARTER_MAX_FDS = 2,
    STARTER_MAX_SAVES = 32, /* at once */
    STARTER_TEXT_BYTES = 200,
};

enum starter_request_kind {
    /* Answered by STARTER_PIECEs: tenants.pb as it is now, if it is well; else error and text. */
    STARTER_TERMS = 1,
    /* Answered by a STARTER_VM for each that is kept, or lives. */
    STARTER_LOAD,
    STARTER_PING, /* DONE: the starter is not in a call that doesn't return */
    /* bytes: the VM's description, in place of the one before. DONE: it is on the disk. EAGAIN: too many at once. */
    STARTER_SAVE,
    /* Description, logs, folders go; of a tenant that is no more, too. EBUSY: it lives. */
    STARTER_REMOVE,
    STARTER_START, /* see above */
    /* channel: COMMAND or CONSOLE. DONE: fd [connected, SOCK_NONBLOCK]. ENOENT of COMMAND: nobody holds the VM's run
     * directory, and no broker is there that did or will: START and REMOVE find it free. Any other error: nobody
     * listens right now. */
    STARTER_CONNECT,
    /* Its bulkhead-console is started, unless there is one. */
    STARTER_CONSOLE,
    /* channel: CONSOLE or BROKER. DONE: fds [older][newer], for reading, or [newer] alone. */
    STARTER_LOGS,
    /* SIGKILL to all processes of the VM: its broker doesn't answer. DONE: they are dead or, of those that hold its
     * directory, about to be. ENOENT: there are none. EBUSY: some don't die; CONNECT finds the VM until they have. */
    STARTER_KILL,
    /* bytes: a note for the VM's spawner (spawner/note.h). DONE: it is there, and fd [a stream]; a process keeps it until
     * that is closed, or for NOTES_MS. EPERM: the tenant may have no user network. EBUSY: one of that VM is there. */
    STARTER_NOTE,
    STARTER_GIVE, /* see above */
    STARTER_REQUEST__MAX,
};

enum starter_channel {
    STARTER_CHANNEL_COMMAND = 1, /* of the VM's broker, which was checked to be the service's own */
    STARTER_CHANNEL_CONSOLE,     /* the guest's console, through bulkhead-console */
    STARTER_CHANNEL_BROKER,      /* the broker's log */
};

struct starter_request {
    uint32_t kind, id;
    uint32_t channel;
    uint32_t len; /* of the bytes that follow */
    char tenant[HOSTDIR_TENANT_BYTES + 3];
    char vm[HOSTDIR_VM_BYTES + 3];
};

enum starter_report_kind {
    STARTER_DONE = 1,
    STARTER_PIECE, /* bytes: the next piece of tenants.pb */
    STARTER_VM,    /* bytes: the description, none if it has none; flags */
    /* Unasked, id 0. text: how it ended. */
    STARTER_CONSOLE_ENDED, /* the VM's bulkhead-console is gone */
    /* Broker and spawner that were started for this VM are gone. A hint: nobody says so of those that another
     * starter has started. */
    STARTER_BROKER_ENDED,
};

/* flags of a STARTER_VM */
enum { STARTER_LIVES = 1 /* its run directory is held */, STARTER_HAS_CONSOLE = 2 };

struct starter_report {
    uint32_t kind, id;
    int32_t error; /* positive errno, or 0 */
    uint32_t flags;
    uint32_t len;
    char tenant[HOSTDIR_TENANT_BYTES + 3];
    char vm[HOSTDIR_VM_BYTES + 3];
    char text[STARTER_TEXT_BYTES]; /* one line for who asked: what to do */
};
