/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - see life.h. */
#include "hostd/rules/life.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "hostd/rules/claims.h"
#include "hostd/rules/devices.h"
#include "hostd/rules/quota.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/tenants.h"

#define MS UINT64_C(1000000)

uint64_t life_next_try(const struct host *host, unsigned *tries)
{
    uint64_t ms = (uint64_t)LIFE_MS_BETWEEN_LOOKS << MIN(*tries, 16u);

    (*tries)++;
    return host->now + MIN(ms, (uint64_t)LIFE_MAX_WAIT_MS) * MS;
}

/* ---- start ---- */

int life_check_start(const struct host *host, const struct host_vm *vm, const char *tenant,
                     const Bulkhead__VmSpec *spec, const Bulkhead__Tenant *asker, struct fault *f)
{
    const Bulkhead__Tenant *t = tenants_find(host->config, tenant);
    struct claims claims = { 0 };
    struct cost cost;
    int r;

    if (!t) {
        fault_input(f, "there is no tenant %s any more: `bulkhead tenants` adds one", tenant);
        return -EINVAL;
    }
    r = spec_check(host, spec, t, f);
    if (r < 0)
        return r;
    cost = spec_cost(spec->config);
    r = quota_check_start(host, t, vm, &cost, f);
    if (r < 0)
        return r;
    if (claims_of_config(spec->config, &claims) < 0)
        return fault_host(f, ENOMEM, "no memory for what the VM uses");
    r = claims_check(host, vm, tenant, &claims, asker, f);
    host_claims_clear(&claims);
    return r;
}

static void forget_run(struct host_vm *vm)
{
    vm->told = vm->killed = vm->launching = vm->linked = vm->joined = false;
    vm->paused = vm->booting = vm->has_console = vm->claims_full = false;
    vm->disks = 0;
    vm->killed_ns = vm->orphan_ns = vm->asked_ns = vm->link_ns = vm->console_ns = 0;
    vm->link_tries = vm->console_tries = 0;
}

/* What a reboot was for is there, and its last run's end is the past. */
static void runs(struct host_vm *vm)
{
    vm->unsaved = vm->unsaved || vm->again || vm->has_end;
    vm->again = vm->has_end = false;
    vm->ended_ns = 0;
}

static void begin(struct host *host, struct host_vm *vm)
{
    forget_run(vm);
    host_vm_enter(host, vm, LIFE_STARTING);
    vm->want_start = vm->autostart = false;
    vm->launching = true;
    vm->starts++;
    vm->started_ns = host->realtime;
    if (!vm->again) /* else what is kept stays what it is until the guest runs */
        runs(vm);
    vm->unsaved = true;
    vm->why_not = (struct fault){ 0 };
    host_ask(host, ASK_START, CHANNEL_NONE, vm, NULL);
    host_notice(host, vm, "starting", "%s", "");
}

static unsigned count_starting(const struct host *host)
{
    unsigned n = 0;

    for (unsigned i = 0; i < host->n_vms; i++)
        n += host->vms[i]->life == LIFE_STARTING;
    return n;
}

/* The end of a reboot's first half is kept before its second one begins, so that the next service can tell the run that was
 * to be stopped from the one that was to come. A disk that is full holds no VM up. */
static bool is_kept_first(const struct host *host, const struct host_vm *vm)
{
    return vm->again && (vm->saving || (vm->unsaved && vm->save_ns <= host->now));
}

static bool settle_start(struct host *host, struct host_vm *vm)
{
    if (vm->life != LIFE_STOPPED || !vm->want_start || !vm->saved || vm->want_remove ||
        is_kept_first(host, vm) || host->phase != HOST_OPEN)
        return false;
    if (vm->autostart && count_starting(host) >= LIFE_MAX_AUTOSTARTS)
        return false;
    vm->why_not = (struct fault){ 0 };
    if (life_check_start(host, vm, vm->tenant, vm->spec, tenants_find(host->config, vm->tenant),
                         &vm->why_not) < 0 ||
        claims_of_config(vm->spec->config, &vm->claims) < 0) {
        vm->want_start = vm->autostart = vm->again = false;
        vm->unsaved = true;
        if (vm->why_not.error == 0)
            fault_host(&vm->why_not, ENOMEM, "no memory for what the VM uses");
        host_notice(host, vm, "start_failed", "%s", vm->why_not.text);
        return true;
    }
    begin(host, vm);
    return true;
}

void life_launched(struct host *host, struct host_vm *vm)
{
    vm->launching = false;
    vm->busy_ns = 0;
    runs(vm);
    host_vm_enter(host, vm, LIFE_RUNNING);
    host_notice(host, vm, "started", "%s", "");
}

/* ---- end ---- */

void life_ended(struct host *host, struct host_vm *vm, const struct vm_end_fact *end)
{
    const struct fault over = { .error = ECANCELED, .text = "the VM has ended" };

    if (vm->life == LIFE_STOPPED || vm->life == LIFE_LEAVING)
        return;
    devices_done(host, vm, &over);
    if (vm->life == LIFE_STARTING) /* it is not tried again and again */
        vm->again = false;
    vm->has_end = true;
    vm->end = *end;
    vm->ended_ns = host->realtime;
    vm->unsaved = true;
    vm->launching = false;
    vm->link_ns = 0;
    vm->link_tries = 0;
    host_vm_enter(host, vm, LIFE_LEAVING);
    host_action_add(&host->actions, HOST_DROP_LAUNCH)->vm = vm->serial;
    host_notice(host, vm, "ended", "%s", end->detail);
}

void life_start_failed(struct host *host, struct host_vm *vm, const struct fault *why)
{
    struct vm_end_fact end = { .host_failure = !why->bad_input };

    vm->why_not = *why;
    vm->busy_ns = 0;
    if (vm->why_not.error == 0)
        vm->why_not.error = EIO;
    if (vm->why_not.text[0] == '\0')
        snprintf(vm->why_not.text, sizeof vm->why_not.text,
                 "%s was not started, and nobody said why", vm->name);
    snprintf(end.detail, sizeof end.detail, "%s", vm->why_not.text);
    life_ended(host, vm, &end);
}

void life_kill(struct host *host, struct host_vm *vm, const char *why)
{
    struct vm_end_fact end = { .by_user = true };

    snprintf(end.detail, sizeof end.detail, "%s", why);
    life_ended(host, vm, &end);
    vm->killed = true;
    vm->killed_ns = host->now;
    host_ask(host, ASK_KILL, CHANNEL_NONE, vm, NULL);
}

bool life_put_off(struct host *host, struct host_vm *vm)
{
    if (vm->busy_ns == 0)
        vm->busy_ns = host->now;
    if (host->now - vm->busy_ns > LIFE_MAX_BUSY_MS * MS) {
        vm->busy_ns = 0;
        return false;
    }
    if (vm->launching)
        host_action_add(&host->actions, HOST_DROP_LAUNCH)->vm = vm->serial;
    vm->launching = false;
    vm->link_tries = 0;
    vm->link_ns = life_next_try(host, &vm->link_tries);
    host_vm_enter(host, vm, LIFE_LEAVING);
    return true;
}

void life_gone(struct host *host, struct host_vm *vm)
{
    if (vm->linked)
        host_action_add(&host->actions, HOST_UNLINK)->vm = vm->serial;
    host_close_sessions_of(host, vm);
    forget_run(vm);
    vm->want_remove = vm->want_remove || !vm->spec;
    host_claims_clear(&vm->claims);
    host_vm_enter(host, vm, LIFE_STOPPED);
}

void life_halt(struct host *host, struct host_vm *vm, uint64_t grace_ns)
{
    if (vm->want_start && vm->why_not.error == 0)
        fault_host(&vm->why_not, ECANCELED, "%s was halted before it ran", vm->name);
    vm->unsaved = vm->unsaved || vm->again;
    vm->want_start = vm->autostart = vm->again = false;
    if (vm->life == LIFE_RUNNING)
        runs(vm);
    if (vm->life == LIFE_STARTING) {
        fault_host(&vm->why_not, ECANCELED, "%s was halted before it ran", vm->name);
        life_kill(host, vm, "halted before the guest ran");
    } else if (vm->life == LIFE_RUNNING && grace_ns > 0) {
        host_vm_enter(host, vm, LIFE_HALTING);
        vm->grace_ns = host->now + grace_ns;
        host_notice(host, vm, "halting", "%s", "");
    } else if (vm->life == LIFE_HALTING && grace_ns > 0) {
        vm->grace_ns = MIN(vm->grace_ns, host->now + grace_ns);
    } else if (vm->life == LIFE_RUNNING || vm->life == LIFE_HALTING) {
        host_vm_enter(host, vm, LIFE_STOPPING);
    }
}

void life_reboot(struct host *host, struct host_vm *vm)
{
    life_halt(host, vm, 0);
    vm->want_start = vm->again = vm->unsaved = true;
}

/* ---- what is kept of it ---- */

static bool is_to_save(const struct host *host, const struct host_vm *vm)
{
    return vm->unsaved && !vm->saving && !vm->want_remove && vm->spec && vm->save_ns <= host->now;
}

static void save(struct host *host, struct host_vm *vm)
{
    vm->unsaved = false;
    vm->saving = true;
    vm->save_ns = 0;
    host_ask(host, ASK_SAVE, CHANNEL_NONE, vm, NULL);
}

static bool is_tenants_first(const struct host *host, unsigned i)
{
    return i == 0 || strcmp(host->vms[i]->tenant, host->vms[i - 1]->tenant) != 0;
}

/* What each tenant may have on the way to the disk: as much as the others that have something to write. */
static unsigned share_of_saves(const struct host *host, unsigned *ret_saving)
{
    unsigned tenants = 0, saving = 0;
    bool counted = false;

    for (unsigned i = 0; i < host->n_vms; i++) {
        const struct host_vm *vm = host->vms[i];

        counted = counted && !is_tenants_first(host, i);
        if (!counted && (vm->saving || is_to_save(host, vm))) {
            counted = true;
            tenants++;
        }
        saving += vm->saving;
    }
    *ret_saving = saving;
    return MAX(LIFE_MAX_SAVES / MAX(tenants, 1u), 1u);
}

static unsigned count_saving(const struct host *host, unsigned first)
{
    unsigned n = 0;

    for (unsigned i = first; i < host->n_vms && (i == first || !is_tenants_first(host, i)); i++)
        n += host->vms[i]->saving;
    return n;
}

static bool none_to_save(const struct host *host)
{
    for (unsigned i = 0; i < host->n_vms; i++)
        if (is_to_save(host, host->vms[i]))
            return false;
    return true;
}

bool life_settle_saves(struct host *host)
{
    unsigned saving, share, own = 0;
    bool moved = false;

    if (none_to_save(host)) /* as after most events */
        return false;
    share = share_of_saves(host, &saving);
    for (unsigned i = 0; i < host->n_vms && saving < LIFE_MAX_SAVES; i++) {
        if (is_tenants_first(host, i))
            own = count_saving(host, i);
        if (own >= share || !is_to_save(host, host->vms[i]))
            continue;
        save(host, host->vms[i]);
        own++;
        saving++;
        moved = true;
    }
    return moved;
}

static bool settle_removal(struct host *host, struct host_vm *vm)
{
    if (!vm->want_remove || vm->removing || vm->saving || vm->life != LIFE_STOPPED)
        return false;
    vm->removing = true;
    host_ask(host, ASK_REMOVE, CHANNEL_NONE, vm, NULL);
    return true;
}

/* ---- its broker ---- */

static bool settle_link(struct host *host, struct host_vm *vm)
{
    if (vm->life == LIFE_STOPPED || vm->life == LIFE_STARTING || vm->linked || vm->linking ||
        vm->link_ns > host->now)
        return false;
    vm->linking = true;
    vm->link_ns = 0;
    host_ask(host, ASK_CONNECT, CHANNEL_COMMAND, vm, NULL);
    return true;
}

static bool settle_telling(struct host *host, struct host_vm *vm)
{
    struct host_action *a;

    if ((vm->life != LIFE_HALTING && vm->life != LIFE_STOPPING) || vm->told || !vm->joined ||
        (vm->again && (vm->unsaved || vm->saving)))
        return false;
    vm->told = true;
    a = host_action_add(&host->actions, HOST_TELL);
    a->vm = vm->serial;
    a->body = vm->life == LIFE_HALTING ? BULKHEAD__CLIENT_ENVELOPE__BODY_PRESS_POWER_BUTTON
                                       : BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM;
    return true;
}

/* It was found where a reboot was on its way, and runs by now. */
static bool settle_again(struct host_vm *vm)
{
    if (vm->life != LIFE_RUNNING || !vm->again || !vm->joined || vm->booting)
        return false;
    vm->want_start = false;
    runs(vm);
    return true;
}

static bool settle_console(struct host *host, struct host_vm *vm)
{
    if ((vm->life != LIFE_RUNNING && vm->life != LIFE_HALTING) || vm->has_console ||
        vm->console_asked || vm->console_ns > host->now)
        return false;
    vm->console_asked = true;
    vm->console_ns = 0;
    host_ask(host, ASK_CONSOLE, CHANNEL_NONE, vm, NULL);
    return true;
}

/* ---- who waits ---- */

static bool is_over(const struct host_vm *vm, enum wait_kind kind)
{
    switch (kind) {
    case WAIT_SAVED:
        return vm->saved && !vm->saving && !vm->unsaved;
    case WAIT_RUNS:
        return vm->life == LIFE_RUNNING || (vm->life == LIFE_STOPPED && !vm->want_start);
    case WAIT_STOPPED:
        return vm->life == LIFE_STOPPED;
    case WAIT_DETAILS: /* not of a reboot */
        return vm->life == LIFE_STOPPED && !vm->want_start;
    case WAIT_REMOVED:
    case WAIT__MAX:
    default:
        return false; /* reports.c answers */
    }
}

static void answer(struct host *host, struct host_vm *vm, enum wait_kind kind,
                   struct host_ticket *ticket)
{
    struct fault f = vm->why_not;

    if (kind == WAIT_DETAILS) {
        host_answer(host, ticket, ANSWER_DETAILS, vm);
    } else if (kind == WAIT_SAVED) {
        host_reply_ok(host, ticket, "%s is created", vm->name);
    } else if (kind == WAIT_STOPPED) {
        host_reply_ok(host, ticket, "%s is stopped", vm->name);
    } else if (vm->life == LIFE_RUNNING) {
        host_reply_ok(host, ticket, "%s runs", vm->name);
    } else {
        if (f.error == 0)
            fault_host(&f, EIO, "%s ended before it ran: see `bulkhead logs %s`", vm->name,
                       vm->name);
        host_reply(host, ticket, &f);
    }
}

/* All of a kind at once: how many wait is for tenants to say, and what moves in a step is counted. */
static bool settle_waits(struct host *host, struct host_vm *vm)
{
    struct host_ticket ticket;
    bool moved = false;

    for (unsigned kind = 0; kind < WAIT__MAX; kind++)
        while (vm->n_waits[kind] > 0 && is_over(vm, (enum wait_kind)kind) &&
               host_take_wait(vm, (enum wait_kind)kind, &ticket)) {
            answer(host, vm, (enum wait_kind)kind, &ticket);
            moved = true;
        }
    return moved;
}

bool life_settle(struct host *host, struct host_vm *vm)
{
    return settle_waits(host, vm) || settle_start(host, vm) || settle_removal(host, vm) ||
           settle_link(host, vm) || settle_again(vm) || settle_telling(host, vm) ||
           settle_console(host, vm);
}
