/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.c - see deadline.h. */
#include "hostd/rules/deadline.h"

#include <errno.h>
#include "base/compiler.h"
#include "hostd/rules/devices.h"
#include "hostd/rules/life.h"
#include "hostd/rules/reports.h"

#define MS UINT64_C(1000000)

enum {
    START_MS = 90000,  /* the VM's broker has 60 s of its own for it */
    ORPHAN_MS = 2000,  /* for the launcher to say why the VM's broker has ended */
    STOP_MS = 20000,   /* for a VM to stop; its broker gives each process less */
    LEAVE_MS = 10000,  /* from the guest's end to that of all processes */
    DIE_MS = 10000,    /* from SIGKILL to the end */
    ANSWER_MS = 10000, /* for a broker to say where its VM stands */
    STARTER_MS = 30000,
    FIND_MS = 3000, /* for those that live when the service begins */
};

static uint64_t after(uint64_t since_ns, uint64_t limit_ms)
{
    return since_ns == 0 ? 0 : since_ns + limit_ms * MS;
}

/* ---- of a VM ---- */

static uint64_t started_by(const struct host_vm *vm)
{
    return vm->life == LIFE_STARTING ? after(vm->life_ns, START_MS) : 0;
}

static void not_started(struct host *host, struct host_vm *vm)
{
    struct fault f = { 0 };

    fault_host(&f, ETIMEDOUT, "%s did not start within %d s: see `bulkhead logs %s`", vm->name,
               START_MS / 1000, vm->name);
    life_start_failed(host, vm, &f);
    life_kill(host, vm, f.text);
}

static uint64_t explained_by(const struct host_vm *vm)
{
    return vm->life == LIFE_STARTING ? after(vm->orphan_ns, ORPHAN_MS) : 0;
}

static void not_explained(struct host *host, struct host_vm *vm)
{
    struct fault f = { 0 };

    fault_host(&f, EIO, "its broker ended before the guest ran: see `bulkhead logs %s`", vm->name);
    life_start_failed(host, vm, &f);
}

static uint64_t halted_by(const struct host_vm *vm)
{
    return vm->life == LIFE_HALTING ? vm->grace_ns : 0;
}

static void not_halted(struct host *host, struct host_vm *vm)
{
    host_vm_enter(host, vm, LIFE_STOPPING);
}

static uint64_t stopped_by(const struct host_vm *vm)
{
    return vm->life == LIFE_STOPPING ? after(vm->life_ns, STOP_MS) : 0;
}

static void not_stopped(struct host *host, struct host_vm *vm)
{
    life_kill(host, vm, "killed: its broker did not stop it in time");
}

static uint64_t left_by(const struct host_vm *vm)
{
    return vm->life == LIFE_LEAVING && !vm->killed ? after(vm->life_ns, LEAVE_MS) : 0;
}

static void not_left(struct host *host, struct host_vm *vm)
{
    life_kill(host, vm, "its processes did not leave");
}

static uint64_t dead_by(const struct host_vm *vm)
{
    return vm->life == LIFE_LEAVING && vm->killed ? after(vm->killed_ns, DIE_MS) : 0;
}

/* Who waits is told; what follows from its end follows when it comes. */
static void not_dead(struct host *host, struct host_vm *vm)
{
    struct host_ticket ticket;
    struct fault f = { 0 };

    fault_host(&f, EIO, "%s was killed and does not die: see the host's log", vm->name);
    host_action_log(&host->actions, true, "%s/%s was killed and does not die", vm->tenant,
                    vm->name);
    for (unsigned kind = 0; kind < WAIT__MAX; kind++)
        while (host_take_wait(vm, (enum wait_kind)kind, &ticket))
            host_reply(host, &ticket, &f);
    vm->want_start = vm->want_remove = vm->again = false;
    life_kill(host, vm, f.text);
}

static uint64_t answered_by(const struct host_vm *vm)
{
    return vm->linked && !vm->joined ? after(vm->asked_ns, ANSWER_MS) : 0;
}

static void not_answered(struct host *host, struct host_vm *vm)
{
    host_action_log(&host->actions, false, "%s/%s: its broker does not say where it stands",
                    vm->tenant, vm->name);
    host_action_add(&host->actions, HOST_UNLINK)->vm = vm->serial;
    vm->linked = vm->told = false;
    vm->asked_ns = 0;
    vm->link_ns = life_next_try(host, &vm->link_tries);
}

static uint64_t moved_by(const struct host_vm *vm)
{
    return vm->moving != MOVING_NONE ? after(vm->moving_ns, DEVICES_GIVE_MS) : 0;
}

static void not_moved(struct host *host, struct host_vm *vm)
{
    const struct fault f = { .error = ETIMEDOUT, .text = "nobody said in time what became of it" };

    devices_done(host, vm, &f);
}

/* ---- tries: that the time has come is all, life_settle() does the rest ---- */

static uint64_t linked_at(const struct host_vm *vm)
{
    return vm->life != LIFE_STOPPED && vm->life != LIFE_STARTING && !vm->linked && !vm->linking
               ? vm->link_ns
               : 0;
}

static void link_now(struct host *host, struct host_vm *vm)
{
    (void)host;
    vm->link_ns = 0;
}

static uint64_t console_at(const struct host_vm *vm)
{
    return (vm->life == LIFE_RUNNING || vm->life == LIFE_HALTING) && !vm->has_console &&
                   !vm->console_asked
               ? vm->console_ns
               : 0;
}

static void console_now(struct host *host, struct host_vm *vm)
{
    (void)host;
    vm->console_ns = 0;
}

static uint64_t saved_at(const struct host_vm *vm)
{
    return vm->unsaved && !vm->saving && !vm->want_remove && vm->spec ? vm->save_ns : 0;
}

static void save_now(struct host *host, struct host_vm *vm)
{
    (void)host;
    vm->save_ns = 0;
}

static const struct {
    uint64_t (*due)(const struct host_vm *vm);
    void (*pass)(struct host *host, struct host_vm *vm);
} of_vm[] = {
    { started_by, not_started },   { explained_by, not_explained }, { halted_by, not_halted },
    { stopped_by, not_stopped },   { left_by, not_left },           { dead_by, not_dead },
    { answered_by, not_answered }, { linked_at, link_now },         { console_at, console_now },
    { saved_at, save_now },        { moved_by, not_moved },
};

/* ---- of the starter: the oldest question first ---- */

static uint64_t asked_by(const struct host *host)
{
    return host->n_asks > 0
               ? after(host->asks[host->first_ask % HOST_MAX_ASKS].since_ns, STARTER_MS)
               : 0;
}

static void not_asked(struct host *host)
{
    struct host_event e = { .kind = HOST_REPORTED, .ask = host->first_ask };

    fault_host(&e.fault, ETIMEDOUT, "the starter does not answer");
    host_action_log(&host->actions, true, "the starter does not answer");
    reports_answered(host, &e);
}

/* ---- of the service ---- */

static uint64_t found_by(const struct host *host)
{
    return host->phase == HOST_FINDING && host->config ? after(host->phase_ns, FIND_MS) : 0;
}

static const struct {
    uint64_t (*due)(const struct host *host);
    void (*pass)(struct host *host);
} of_host[] = { { asked_by, not_asked }, { found_by, reports_open } };

static void sooner(uint64_t *at, uint64_t due)
{
    if (due != 0 && (*at == 0 || due < *at))
        *at = due;
}

/* Nothing is expected of it, as of most: this is asked after each event, of all of them. */
static bool is_calm(const struct host_vm *vm)
{
    return !vm->unsaved && !vm->linking && vm->moving == MOVING_NONE &&
           (vm->life == LIFE_STOPPED
                ? !vm->linked
                : vm->life == LIFE_RUNNING && vm->linked && vm->joined && vm->has_console);
}

uint64_t deadline_next(const struct host *host)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < host->n_vms; i++)
        for (unsigned r = 0; r < ARRAY_SIZE(of_vm) && !is_calm(host->vms[i]); r++)
            sooner(&at, of_vm[r].due(host->vms[i]));
    for (unsigned r = 0; r < ARRAY_SIZE(of_host); r++)
        sooner(&at, of_host[r].due(host));
    return at;
}

static bool is_over(const struct host *host, uint64_t due)
{
    return due != 0 && host->now >= due;
}

bool deadline_pass(struct host *host)
{
    for (unsigned i = 0; i < host->n_vms; i++)
        for (unsigned r = 0; r < ARRAY_SIZE(of_vm); r++)
            if (is_over(host, of_vm[r].due(host->vms[i]))) {
                of_vm[r].pass(host, host->vms[i]);
                return true;
            }
    for (unsigned r = 0; r < ARRAY_SIZE(of_host); r++)
        if (is_over(host, of_host[r].due(host))) {
            of_host[r].pass(host);
            return true;
        }
    return false;
}
