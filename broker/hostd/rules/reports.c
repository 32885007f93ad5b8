/* SPDX-License-Identifier: Apache-2.0 */
/* reports.c - see reports.h. */
#include "hostd/rules/reports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "hostd/rules/claims.h"
#include "hostd/rules/devices.h"
#include "hostd/rules/life.h"
#include "hostd/rules/names.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/tenants.h"

#define MS UINT64_C(1000000)
enum { SAVE_AGAIN_MS = 5000 };

void reports_begin(struct host *host)
{
    host->phase = HOST_LOADING;
    host->phase_ns = host->now;
    host->started_realtime = host->realtime;
    host_ask(host, ASK_TERMS, CHANNEL_NONE, NULL, NULL);
    host_ask(host, ASK_LOAD, CHANNEL_NONE, NULL, NULL);
}

static void quit(struct host *host, const char *what, const char *why)
{
    struct host_action *a = host_action_add(&host->actions, HOST_QUIT);

    host->phase = HOST_ENDED;
    a->flag = true;
    snprintf(a->text, sizeof a->text, "%s: %.300s", what, why);
}

/* ---- tenants ---- */

/* Who spoke for one tenant and doesn't any more, or not for that one, has to connect again. */
static void sort_sessions(struct host *host, const Bulkhead__HostConfig *next)
{
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++) {
        struct session *s = &host->sessions[i];
        const Bulkhead__Tenant *now;

        if (s->serial == 0)
            continue;
        now = s->holder ? tenants_find(next, s->tenant ? s->tenant->name : "")
                        : tenants_who(next, s->uid, s->gids, s->n_gids);
        if ((now ? now->host : false) != (s->tenant ? s->tenant->host : false) ||
            strcmp(now ? now->name : "", s->tenant ? s->tenant->name : "") != 0)
            host_action_add(&host->actions, HOST_CLOSE)->session = s->serial;
        s->tenant = now;
    }
}

static void on_terms(struct host *host, struct ask *ask, const struct host_event *e)
{
    struct fault f = e->fault;

    if (f.error == 0 && (!e->config || !*e->config))
        fault_host(&f, EBADMSG, "tenants.pb can't be decoded: `bulkhead tenants apply` it again");
    if (f.error == 0 && tenants_check(*e->config, &f) == 0)
        f = (struct fault){ 0 };
    if (f.error != 0 && !host->config) {
        quit(host, "tenants", f.text);
        return;
    }
    if (f.error != 0) {
        host_reply(host, &ask->ticket, &f);
        return;
    }
    host_reply_ok(host, &ask->ticket, "%zu tenants", (*e->config)->n_tenants);
    sort_sessions(host, *e->config); /* who asked, too: he has heard by then */
    if (host->config)
        bulkhead__host_config__free_unpacked(host->config, NULL);
    host->config = *e->config;
    *e->config = NULL;
    host_notice(host, NULL, "tenants", "%zu", host->config->n_tenants);
}

/* ---- what there is ---- */

static void take_status(struct host *host, struct host_vm *vm, const Bulkhead__VmStatus *s,
                        bool lives)
{
    vm->created_ns = s->created_ns;
    vm->started_ns = s->started_ns;
    vm->ended_ns = s->ended_ns;
    vm->starts = s->starts;
    if (s->how_ended) {
        vm->has_end = true;
        vm->end.state = s->how_ended->state;
        vm->end.by_user = s->how_ended->by_user;
        vm->end.host_failure = s->how_ended->host_failure;
        snprintf(vm->end.detail, sizeof vm->end.detail, "%s", s->how_ended->detail);
    }
    /* What lives after its end was kept is the run to come, which may not have come quite: life.c. */
    vm->want_start = vm->again = s->starts_again && (!lives || s->ended_ns != 0) && vm->spec;
    if (lives || vm->started_ns == 0 || vm->ended_ns != 0)
        return;
    vm->has_end = true;
    vm->end = (struct vm_end_fact){ .host_failure = true,
                                    .detail = "it ended while the service was away" };
    vm->ended_ns = host->realtime;
    vm->unsaved = true;
}

/* Not one that was stopped, or has ended, since the host was started: then the service was just away for a moment. */
static bool starts_by_itself(const struct host *host, const struct host_vm *vm)
{
    uint64_t last = MAX(vm->created_ns, vm->started_ns);

    return vm->spec && vm->spec->autostart && vm->life == LIFE_STOPPED && !vm->want_start &&
           last < host->booted_realtime;
}

void reports_kept(struct host *host, const struct host_event *e)
{
    Bulkhead__VmDetails *kept = *e->kept;
    struct host_vm *vm;

    if (host->phase != HOST_LOADING || !hostdir_is_tenant(e->tenant) || !hostdir_is_vm(e->name) ||
        host_find(host, e->tenant, e->name))
        return;
    if (!kept && !e->lives)
        return;
    vm = host_vm_new(host, e->tenant, e->name);
    if (!vm) {
        host_action_log(&host->actions, true, "%s/%s: there is no room for its description",
                        e->tenant, e->name);
        return;
    }
    if (kept && kept->spec && kept->spec->config) {
        vm->spec = kept->spec;
        kept->spec = NULL;
        vm->cost = spec_cost(vm->spec->config);
        vm->saved = true;
    }
    if (kept && kept->status)
        take_status(host, vm, kept->status, e->lives);
    if (!e->lives)
        return;
    vm->life = LIFE_RUNNING;
    /* Its console is asked for though there is one: the starter is to watch it. */
    if (vm->spec && claims_of_config(vm->spec->config, &vm->claims) < 0)
        host_action_log(&host->actions, true, "%s/%s: no memory for what it uses", vm->tenant,
                        vm->name);
    if (kept && kept->status && kept->status->starts_again && vm->spec && !vm->again)
        life_reboot(host, vm); /* which was on its way */
    if (!vm->spec) {
        host_action_log(&host->actions, false, "%s/%s runs and has no description: it is stopped",
                        vm->tenant, vm->name);
        host_vm_enter(host, vm, LIFE_STOPPING);
        vm->want_remove = true;
    }
}

void reports_open(struct host *host)
{
    host->phase = HOST_OPEN;
    host->phase_ns = host->now;
    for (unsigned i = 0; i < host->n_vms; i++)
        if (starts_by_itself(host, host->vms[i]))
            host->vms[i]->want_start = host->vms[i]->autostart = true;
    host_action_add(&host->actions, HOST_READY);
}

bool reports_settle(struct host *host)
{
    if (host->phase != HOST_FINDING || !host->config)
        return false;
    for (unsigned i = 0; i < host->n_vms; i++)
        if (host->vms[i]->life == LIFE_RUNNING && !host->vms[i]->joined)
            return false;
    reports_open(host);
    return true;
}

static void on_loaded(struct host *host, struct ask *ask, const struct host_event *e)
{
    (void)ask;
    if (e->fault.error != 0) {
        quit(host, "what the service keeps", e->fault.text);
        return;
    }
    host->phase = HOST_FINDING;
    host->phase_ns = host->now;
}

/* ---- of one VM ---- */

/* An answer about it that follows from this same event can't be made any more. */
static void answer_otherwise(struct host *host, const struct host_vm *vm, const struct fault *why)
{
    for (size_t i = 0; i < host->actions.n; i++) {
        struct host_action *a = &host->actions.list[i];

        if (a->kind != HOST_ANSWER || a->vm != vm->serial)
            continue;
        a->kind = HOST_REPLY;
        a->error = why->error;
        a->bad_input = why->bad_input;
        snprintf(a->text, sizeof a->text, "%s", why->text);
    }
}

/* Who waits for a VM that is not to be is told why. */
static void drop(struct host *host, struct host_vm *vm, const struct fault *why)
{
    struct host_ticket ticket;

    for (unsigned kind = 0; kind < WAIT__MAX; kind++)
        while (host_take_wait(vm, (enum wait_kind)kind, &ticket))
            if (kind == WAIT_REMOVED && why->error == ENOENT)
                host_reply_ok(host, &ticket, "%s is removed", vm->name);
            else
                host_reply(host, &ticket, why);
    answer_otherwise(host, vm, why);
    host_action_add(&host->actions, HOST_FORGET)->vm = vm->serial;
    host_vm_free(host, vm);
}

static void on_saved(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    vm->saving = false;
    if (e->fault.error == 0) {
        vm->saved = true;
        return;
    }
    host_action_log(&host->actions, true, "%s/%s: its description can't be kept: %s", vm->tenant,
                    vm->name, e->fault.text);
    if (!vm->saved && vm->life == LIFE_STOPPED) { /* nothing of it is there */
        host_notice(host, vm, "removed", "%s", e->fault.text);
        drop(host, vm, &e->fault);
        return;
    }
    vm->unsaved = true;
    vm->save_ns = host->now + SAVE_AGAIN_MS * MS;
}

static void on_removed(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    struct host_ticket ticket;
    struct fault gone;

    vm->removing = false;
    if (e->fault.error == EBUSY && vm->life == LIFE_STOPPED && life_put_off(host, vm))
        return;
    if (e->fault.error == 0 || e->fault.error == ENOENT || !vm->spec) {
        fault_host(&gone, ENOENT, "%s was removed meanwhile", vm->name);
        host_notice(host, vm, "removed", "%s", "");
        drop(host, vm, &gone);
        return;
    }
    vm->want_remove = false;
    while (host_take_wait(vm, WAIT_REMOVED, &ticket))
        host_reply(host, &ticket, &e->fault);
}

static void on_start(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    if (vm->life != LIFE_STARTING)
        return;
    if (e->fault.error == 0) {
        vm->has_console = true;
    } else if (e->fault.error == EBUSY && life_put_off(host, vm)) {
        vm->want_start = true;
        vm->starts--;
    } else {
        life_start_failed(host, vm, &e->fault);
    }
}

/* The service's own session with its broker. */
static void on_connected(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    struct vm_end_fact end = { .host_failure = true,
                               .detail = "its broker and its spawner are gone" };

    vm->linking = false;
    if (vm->life == LIFE_STOPPED || vm->life == LIFE_STARTING)
        return;
    if (e->fault.error == ENOENT) {
        if (vm->life == LIFE_STOPPING)
            end = (struct vm_end_fact){ .by_user = true, .detail = "stopped" };
        life_ended(host, vm, &end);
        life_gone(host, vm);
    } else if (e->fault.error != 0 || e->n_fds != 1 || vm->life == LIFE_LEAVING) {
        vm->link_ns = life_next_try(host, &vm->link_tries);
    } else {
        vm->linked = true;
        vm->joined = false;
        vm->asked_ns = host->now;
        host_action_add(&host->actions, HOST_LINK)->vm = vm->serial;
    }
}

static void on_console(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    vm->console_asked = false;
    vm->has_console = e->fault.error == 0;
    if (vm->has_console)
        return;
    if (vm->console_tries == 0 && vm->life != LIFE_LEAVING)
        host_action_log(&host->actions, false, "%s/%s: its console: %s", vm->tenant, vm->name,
                        e->fault.text);
    vm->console_ns = life_next_try(host, &vm->console_tries);
}

static void on_killed(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    vm->link_ns = 0; /* is it gone? */
    vm->link_tries = 0;
    if (e->fault.error != 0 && e->fault.error != ENOENT)
        host_action_log(&host->actions, true, "%s/%s can't be killed: %s", vm->tenant, vm->name,
                        e->fault.text);
}

/* ---- channels for clients ---- */

static void on_opened(struct host *host, struct ask *ask, const struct host_event *e)
{
    struct host_vm *vm = host_vm(host, ask->vm);
    struct session *s = host_session(host, ask->ticket.session);
    struct fault f = e->fault;
    struct host_action *a;

    if (vm)
        vm->opening--;
    if (f.error == ENOENT)
        fault_host(&f, ENOTCONN, "%s",
                   ask->kind == ASK_LOGS ? "there is no log yet: start the VM"
                                         : "the VM doesn't run: start it");
    else if (f.error == 0 && e->n_fds == 0)
        fault_host(&f, EIO, "the starter sent nothing");
    if (f.error == 0)
        f.text[0] = '\0';
    a = host_reply(host, &ask->ticket, &f);
    if (!a || f.error != 0)
        return;
    a->flag = true;
    a->limits.limited = ask->kind == ASK_CONNECT && ask->channel == CHANNEL_COMMAND;
    a->limits.no_programs = !s->tenant || !s->tenant->host;
    a->limits.no_user_net = !vm || !spec_may_have_user_net(tenants_find(host->config, vm->tenant));
    a->limits.max_devices = s->tenant && s->tenant->quota ? s->tenant->quota->devices : 0;
}

static void answered_of_vm(struct host *host, enum ask_kind kind, struct host_vm *vm,
                           const struct host_event *e)
{
    switch (kind) {
    case ASK_SAVE:
        on_saved(host, vm, e);
        break;
    case ASK_REMOVE:
        on_removed(host, vm, e);
        break;
    case ASK_START:
        on_start(host, vm, e);
        break;
    case ASK_CONNECT:
        on_connected(host, vm, e);
        break;
    case ASK_CONSOLE:
        on_console(host, vm, e);
        break;
    case ASK_KILL:
        on_killed(host, vm, e);
        break;
    case ASK_GIVE:
        if (e->fault.error != 0 && vm->moving == MOVING_THERE)
            devices_done(host, vm, &e->fault);
        break;
    case ASK_NONE:
    case ASK_TERMS:
    case ASK_LOAD:
    case ASK_LOGS:
    case ASK_NOTE:
    default:
        break;
    }
}

void reports_answered(struct host *host, const struct host_event *e)
{
    struct ask *found = host_find_ask(host, e->ask), ask;
    struct host_vm *vm;

    if (!found)
        return; /* it was waited for too long */
    ask = *found;
    host_ask_free(host, found);
    vm = host_vm(host, ask.vm);
    if (ask.kind == ASK_TERMS)
        on_terms(host, &ask, e);
    else if (ask.kind == ASK_LOAD)
        on_loaded(host, &ask, e);
    else if (ask.opens)
        on_opened(host, &ask, e);
    else if (vm)
        answered_of_vm(host, ask.kind, vm, e);
}

void reports_console_ended(struct host *host, const struct host_event *e)
{
    struct host_vm *vm = host_find(host, e->tenant, e->name);

    if (!vm || !vm->has_console)
        return;
    vm->has_console = false;
    vm->console_ns = life_next_try(host, &vm->console_tries);
}

void reports_broker_ended(struct host *host, const struct host_event *e)
{
    struct host_vm *vm = host_find(host, e->tenant, e->name);

    if (!vm || vm->life == LIFE_STOPPED)
        return;
    vm->link_ns = 0;               /* is it gone? */
    if (vm->life == LIFE_STARTING) /* the launcher knows why, and says so in a moment */
        vm->orphan_ns = host->now;
}
