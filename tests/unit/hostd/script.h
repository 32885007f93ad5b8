/* SPDX-License-Identifier: Apache-2.0 */
/* script.h - the service's rules as a script of events and actions: the test is the starter, every VM's broker and every
 * client, and the clock is its own. There is no process, no descriptor and no waiting. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "hostd/rules/answers.h"
#include "hostd/rules/step.h"
// cmocka wants the ones above
#include <cmocka.h>

enum { SCRIPT_LOG = 4096 };
enum { UID_ACME = 1001, UID_BETA = 1002, UID_ROOT = 0, UID_NOBODY = 4242 };

struct script {
    struct host host;
    uint64_t now;
    struct host_action log[SCRIPT_LOG]; /* not looked at yet */
    unsigned n_log;
    ProtobufCBinaryData note;       /* of a VM_USER_NET that is asked for */
    uint32_t request;               /* the last one's number */
    char text[FAULT_TEXT_MAX];      /* of the last reply that was looked at */
    Bulkhead__HostEnvelope *answer; /* the last answer, unpacked */
    struct host_ticket answered;    /* and whose */
};

/* Open: tenants acme and beta (below /acme and /beta), the host's own, no VM. */
void script_open(struct script *s);
/* Up to where the starter is to say what there is. quota of acme: NULL: none. */
void script_begin(struct script *s, const Bulkhead__TenantQuota *quota);
void script_terms(struct script *s, const Bulkhead__TenantQuota *quota);
void script_end(struct script *s);
void script_happen(struct script *s, struct host_event event);

/* ---- clients ---- */
uint64_t script_connect(struct script *s, uint32_t uid);
void script_leave(struct script *s, uint64_t session);
/* Asks; what it is is left to the caller. Its number is s->request. */
void script_send(struct script *s, uint64_t session, Bulkhead__HostEnvelope *e);
void script_create(struct script *s, uint64_t session, const char *name, bool start);
/* With a disk, a tap or a vsock's socket of that name; NULL: without. */
void script_create_with(struct script *s, uint64_t session, const char *name, const char *disk,
                        const char *tap, const char *socket, bool start);
void script_ask(struct script *s, uint64_t session, Bulkhead__HostEnvelope__BodyCase body,
                const char *vm);
void script_halt(struct script *s, uint64_t session, const char *vm, uint32_t grace_ms);
void script_remove(struct script *s, uint64_t session, const char *vm, bool force);
void script_open_channel(struct script *s, uint64_t session, const char *vm,
                         Bulkhead__VmChannel channel);
/* The reply to that request of the session; -1: there is none yet. Its text is s->text. */
int script_replied(struct script *s, uint64_t session, uint32_t request);
/* The answer with a message; NULL: there is none. */
const Bulkhead__HostEnvelope *script_answered(struct script *s, uint64_t session);

/* ---- the starter ---- */
/* The next that it is asked of that kind, taken out of the log; 0: nothing. */
uint32_t script_asked(struct script *s, enum ask_kind kind);
void script_done(struct script *s, uint32_t ask, int error, size_t n_fds);
/* Asked, and done. */
void script_does(struct script *s, enum ask_kind kind, int error);
void script_kept(struct script *s, const char *tenant, const char *name, bool lives,
                 const Bulkhead__VmDetails *details);

/* ---- a VM ---- */
struct host_vm *script_vm(struct script *s, const char *tenant, const char *name);
/* All that is to be kept is. */
void script_saves(struct script *s);
/* From the request up to a guest that runs, and a session with its broker. */
void script_runs(struct script *s, const char *tenant, const char *name);
void script_launched(struct script *s, struct host_vm *vm, int error);
/* The session with its broker is there, which says that its VM is so. */
void script_joins(struct script *s, struct host_vm *vm, const char *state);
void script_says(struct script *s, struct host_vm *vm, Bulkhead__ClientEnvelope *e);
void script_guest_ends(struct script *s, struct host_vm *vm);
/* Broker and spawner are gone: nobody holds its run directory. */
void script_is_gone(struct script *s, struct host_vm *vm);
/* The broker was told that. */
bool script_told(struct script *s, struct host_vm *vm, Bulkhead__ClientEnvelope__BodyCase body);
bool script_noticed(struct script *s, const char *name);
unsigned script_count(const struct script *s, enum host_action_kind kind);
bool script_happened(struct script *s, enum host_action_kind kind);

/* ---- time ---- */
void script_wait(struct script *s, uint64_t ms);
/* To the next deadline; false: there is none. */
bool script_wait_deadline(struct script *s);
