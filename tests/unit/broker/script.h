/* SPDX-License-Identifier: Apache-2.0 */
/* script.h - a VM's rules as a script of events and actions: the test is the spawner and every child, and the
 * clock is its own. There is no process, no descriptor and no waiting. */
#pragma once

#include "fixture.h"
#include "ipc/channel.h"
#include "vm/step.h"

enum { SCRIPT_CLIENT = 7, SCRIPT_LOG = 1024 };
#define SCRIPT_OFFER UINT64_C(0x130000000) /* any device's features */

struct script {
    struct vm vm;
    struct plan plan;
    Bulkhead__VmConfig *config;
    uint64_t now;
    struct action log[SCRIPT_LOG]; /* not looked at yet */
    unsigned n_log;
    uint32_t request;  /* the last ticket's */
    uint64_t withheld; /* of what devices offer, by workers from now on */
    uint64_t accepted; /* by drivers from now on; at first nothing */
};

/* A VM that runs, with entropy and balloon (and a user network, if passt): each was announced, none is
 * active. */
void script_run(struct script *s, uint32_t crash_limit);
void script_run_net(struct script *s, const char *mode);
/* The same with a vsock, whose workers can't be there at once. */
void script_run_vsock(struct script *s);
void script_run_disk(struct script *s);
/* The guest has rebooted: all start again, up to a guest that runs. */
void script_boot(struct script *s);
void script_end(struct script *s);
void script_happen(struct script *s, const struct event *event);
/* The broker dies, having written its facts down, and another takes over: the spawner knows all children but
 * `unknown` (0: all). */
void script_adopt(struct script *s, uint32_t unknown);
/* The core says where it stands: each device as the record has it, then its own state. */
void script_core_stands(struct script *s, Bulkhead__SnapshotState state);
void script_device_stands(struct script *s, struct device *d, bool active, bool resetting);
void script_core_says_all(struct script *s, Bulkhead__SnapshotState state);
/* The worker serves what the device has, if it is activated. */
void script_worker_stands(struct script *s, uint32_t worker, Bulkhead__SnapshotState state);
struct device *script_device(struct script *s, Bulkhead__Role role);

/* ---- what children do ---- */
void script_say(struct script *s, uint32_t child, const Bulkhead__Envelope *envelope);
/* Activated, Quiesced, ResetDone. */
void script_answer(struct script *s, uint32_t child, Bulkhead__Envelope__BodyCase body);
void script_state(struct script *s, Bulkhead__GuestStateKind state); /* the core says */
void script_spawned(struct script *s, uint32_t child);
void script_hello(struct script *s, uint32_t child);
void script_ready(struct script *s, uint32_t child);
/* All three. */
void script_make_ready(struct script *s, uint32_t child);
/* The loader does its work; and leaves. */
void script_loaded(struct script *s);
void script_load(struct script *s);
void script_exit(struct script *s, uint32_t child, bool clean);
/* The guest's driver sets up one queue, or resets the device. */
void script_activate(struct script *s, struct device *device);
void script_reset(struct script *s, struct device *device);
/* The same, and the worker has begun. */
void script_use(struct script *s, struct device *device);
/* The core has let go of the device at that PCI slot. */
void script_gone(struct script *s, unsigned slot);

/* ---- what time does ---- */
void script_wait(struct script *s, uint64_t ms);
/* To the next deadline; false: there is none. */
bool script_wait_deadline(struct script *s);

/* ---- what clients ask ---- */
void script_ask(struct script *s, struct command command);
void script_ask_device(struct script *s, enum command_kind kind, struct device *device);
/* A vsock device; its worker was asked for. */
struct device *script_add(struct script *s);
/* The same, up to where the guest has it. */
struct device *script_added(struct script *s);
void script_ask_removal(struct script *s, struct device *device, bool force);
/* A user network, to a VM that has none; its worker and its passt were asked for. */
struct device *script_add_net(struct script *s);
/* The upgrade's program is there: its candidate. */
uint32_t script_upgrade(struct script *s, struct device *device);

/* ---- what came of it; each is taken out of the log ---- */
/* The next message for that child; BODY__NOT_SET: none. ret: NULL, or the action. */
Bulkhead__Envelope__BodyCase script_heard(struct script *s, uint32_t child, struct action *ret);
/* The core hears it, after others perhaps. */
void script_core_hears(struct script *s, Bulkhead__Envelope__BodyCase body);
/* The core is to let go of a device; the same of others before it. */
void script_core_detaches(struct script *s, bool force);
/* Nothing is left of the device. */
void script_is_free(const struct script *s, const struct device *device);
bool script_killed(struct script *s, uint32_t child);
bool script_noticed(struct script *s, const char *name);
/* The reply to the last request: -1: none yet; else its error. */
int script_replied(struct script *s);
/* The last request was the user's mistake, and one line says so, of which that is a part. */
void script_refused(struct script *s, const char *part);
unsigned script_count(const struct script *s, enum action_kind kind);
