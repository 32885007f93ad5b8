/* SPDX-License-Identifier: Apache-2.0 */
/* step.c - see step.h. A handler records what has happened; what follows is worked out afterwards, again and again until
 * nothing moves. */
#include "hostd/rules/step.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/rules/brokers.h"
#include "hostd/rules/deadline.h"
#include "hostd/rules/life.h"
#include "hostd/rules/reports.h"
#include "hostd/rules/requests.h"
#include "hostd/rules/rights.h"
#include "hostd/rules/tenants.h"

enum {
    SETTLES_PER_VM = 64
}; /* rules that chase each other are a bug, and must not hang the service */

static unsigned count_sessions(const struct host *host, const Bulkhead__Tenant *tenant)
{
    unsigned n = 0;

    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++)
        n += host->sessions[i].serial != 0 && host->sessions[i].tenant == tenant;
    return n;
}

static bool may_come(const struct host *host, const struct host_vm *vm)
{
    unsigned n = 0;

    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++)
        n += host->sessions[i].serial != 0 && host->sessions[i].holder == vm->serial;
    return vm->spec && rights_has_any(vm->spec) && n < RIGHTS_CONNECTIONS;
}

static void on_connected(struct host *host, const struct host_event *e)
{
    const struct host_vm *vm = host_vm(host, e->vm);
    const Bulkhead__Tenant *tenant = vm ? tenants_find(host->config, vm->tenant)
                                        : tenants_who(host->config, e->uid, e->gids, e->n_gids);
    struct session *s;

    *e->ret_session = 0;
    if (count_sessions(host, tenant) >= tenants_connections(tenant) || (vm && !may_come(host, vm)))
        return;
    s = host_session_new(host);
    if (!s)
        return;
    s->uid = e->uid;
    s->tenant = tenant;
    s->holder = vm ? vm->serial : 0;
    s->run = vm ? vm->starts : 0;
    if (e->n_gids > 0) {
        s->gids = malloc(e->n_gids * sizeof *s->gids);
        if (!s->gids) {
            host_session_free(s);
            return;
        }
        memcpy(s->gids, e->gids, e->n_gids * sizeof *s->gids);
        s->n_gids = e->n_gids;
    }
    *e->ret_session = s->serial;
}

static void on_session(struct host *host, struct session *s, const struct host_event *e)
{
    if (e->kind == HOST_REQUEST) {
        request_take(host, s, e);
        return;
    }
    host_forget_tickets(host, s->serial);
    host_session_free(s);
}

static void on_vm(struct host *host, struct host_vm *vm, const struct host_event *e)
{
    if (e->kind == HOST_LAUNCHED)
        brokers_launched(host, vm, &e->fault);
    else if (e->kind == HOST_LAUNCHER_GONE)
        brokers_launcher_gone(host, vm);
    else if (e->kind == HOST_SAID)
        brokers_said(host, vm, e->said);
    else
        brokers_link_lost(host, vm);
}

static void handle(struct host *host, const struct host_event *e)
{
    struct session *s = host_session(host, e->session);
    struct host_vm *vm = host_vm(host, e->vm);

    switch (e->kind) {
    case HOST_BEGIN:
        reports_begin(host);
        break;
    case HOST_CONNECTED:
        on_connected(host, e);
        break;
    case HOST_REQUEST:
    case HOST_DISCONNECTED:
        if (s)
            on_session(host, s, e);
        break;
    case HOST_REPORTED:
        reports_answered(host, e);
        break;
    case HOST_KEPT:
        reports_kept(host, e);
        break;
    case HOST_CONSOLE_ENDED:
        reports_console_ended(host, e);
        break;
    case HOST_BROKER_ENDED:
        reports_broker_ended(host, e);
        break;
    case HOST_LAUNCHED:
    case HOST_LAUNCHER_GONE:
    case HOST_SAID:
    case HOST_LINK_LOST:
        if (vm)
            on_vm(host, vm, e);
        break;
    case HOST_END:
        host->phase = HOST_ENDED;
        host_action_add(&host->actions, HOST_QUIT);
        break;
    case HOST_DEADLINE:
    default:
        break; /* looked at when all is settled */
    }
}

/* False: nothing moved. */
static bool settle(struct host *host, unsigned *left)
{
    bool moved = reports_settle(host);

    moved = life_settle_saves(host) || moved;
    for (unsigned i = 0; i<host->n_vms && * left> 0; i++) {
        struct host_vm *vm = host->vms[i];

        while (i < host->n_vms && host->vms[i] == vm && *left > 0 && life_settle(host, vm)) {
            moved = true;
            (*left)--;
        }
    }
    return moved;
}

void host_step(struct host *host, const struct host_event *event)
{
    unsigned left = (host->n_vms + 2) * SETTLES_PER_VM;
    struct host_action *a;

    host->now = event->now;
    host->realtime = event->realtime;
    host->actions.n = 0;
    host->actions.full = false;
    if (host->phase == HOST_ENDED)
        return;
    handle(host, event);
    do {
        while (left > 0 && settle(host, &left))
            left -= left > 0;
    } while (left > 0 && event->kind == HOST_DEADLINE && deadline_pass(host) && left-- > 0);
    if (left > 0 && !host->actions.full)
        return;
    a = host_action_add(&host->actions, HOST_QUIT);
    a->flag = true;
    snprintf(a->text, sizeof a->text, "%s",
             host->actions.full ? "no memory"
                                : "its rules don't settle: this is a fault of Bulkhead's");
    host->phase = HOST_ENDED;
}

uint64_t host_next_deadline(const struct host *host)
{
    return host->phase == HOST_ENDED ? 0 : deadline_next(host);
}
