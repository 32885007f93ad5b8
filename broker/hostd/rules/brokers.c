/* SPDX-License-Identifier: Apache-2.0 */
/* brokers.c - see brokers.h. A broker may have been taken over: what it says is believed of its own VM alone. */
#include "hostd/rules/brokers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "hostd/rules/claims.h"
#include "hostd/rules/devices.h"
#include "hostd/rules/life.h"
#include "hostd/rules/tenants.h"

void brokers_launched(struct host *host, struct host_vm *vm, const struct fault *fault)
{
    if (vm->moving == MOVING_THERE)
        devices_done(host, vm, fault);
    if (vm->life != LIFE_STARTING || !vm->launching)
        return;
    if (fault->error == 0)
        life_launched(host, vm);
    else
        life_start_failed(host, vm, fault);
}

void brokers_launcher_gone(struct host *host, struct host_vm *vm)
{
    const struct fault f = { .error = EIO,
                             .text = "the process that was to start it ended without a word" };

    if (vm->moving == MOVING_THERE)
        devices_done(host, vm, &f);
    if (vm->life == LIFE_STARTING && vm->launching)
        life_start_failed(host, vm, &f);
}

/* One that was started while nobody knew that it has what another has: found by its files, which have other names. */
static void check_claims(struct host *host, struct host_vm *vm)
{
    struct fault f;

    if (host->phase != HOST_OPEN || vm->life == LIFE_STOPPING || vm->life == LIFE_LEAVING ||
        claims_check(host, vm, vm->tenant, &vm->claims, tenants_find(host->config, vm->tenant),
                     &f) == 0)
        return;
    host_action_log(&host->actions, true, "%s/%s is stopped: %s", vm->tenant, vm->name, f.text);
    host_notice(host, vm, "conflict", "%s", f.text);
    life_halt(host, vm, 0);
}

static uint32_t count_disks(const Bulkhead__VmPlan *plan)
{
    uint32_t n = 0;

    for (size_t i = 0; i < plan->n_processes; i++)
        n += plan->processes[i]->role == BULKHEAD__ROLE__ROLE_BLK;
    return n;
}

static void on_plan(struct host *host, struct host_vm *vm, const Bulkhead__Plan *plan)
{
    if (!plan->plan)
        return;
    vm->disks = count_disks(plan->plan);
    if (claims_of_plan(plan->plan, &vm->claims) < 0) {
        if (vm->claims_full) /* it may say so as often as it likes */
            return;
        vm->claims_full = true;
        host_action_log(&host->actions, true, "%s/%s: it uses more than can be remembered",
                        vm->tenant, vm->name);
        return;
    }
    check_claims(host, vm);
}

static void on_list(struct host *host, struct host_vm *vm, const Bulkhead__ProcessList *list)
{
    vm->joined = true;
    vm->asked_ns = 0;
    vm->joined_ns = host->now;
    vm->paused = strcmp(list->state, "paused") == 0;
    vm->booting = strcmp(list->state, "starting") == 0;
    if (vm->moving != MOVING_THERE) /* by whom what it asked for comes */
        host_action_add(&host->actions, HOST_DROP_LAUNCH)->vm = vm->serial;
}

static void on_removed(struct host *host, struct host_vm *vm, const Bulkhead__Reply *reply)
{
    struct fault f = { .error = (int)reply->error, .bad_input = reply->bad_input };

    snprintf(f.text, sizeof f.text, "%s", reply->text);
    if (f.error < 0 || (f.error != 0 && f.text[0] == '\0'))
        fault_host(&f, EIO, "its broker says no more");
    devices_done(host, vm, &f);
}

static void on_event(struct host *host, struct host_vm *vm, const Bulkhead__Event *e)
{
    struct host_action *a;

    host_pass_on(host, vm, e);
    if (strcmp(e->source, "vm") == 0) {
        vm->paused = strcmp(e->event, "paused") == 0 ||
                     (vm->paused && strcmp(e->event, "resumed") != 0 &&
                      strcmp(e->event, "running") != 0 && strcmp(e->event, "rebooting") != 0);
        vm->booting = vm->booting && strcmp(e->event, "booted") != 0;
    } else if (strcmp(e->source, "device") == 0 && vm->linked &&
               (strcmp(e->event, "added") == 0 || strcmp(e->event, "removed") == 0)) {
        a = host_action_add(&host->actions, HOST_TELL); /* what it has by now */
        a->vm = vm->serial;
        a->body = BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN;
    }
}

static void on_ended(struct host *host, struct host_vm *vm, const Bulkhead__VmEnded *ended)
{
    struct vm_end_fact end = { .state = ended->state,
                               .by_user = ended->by_user,
                               .host_failure = ended->host_failure };
    struct fault f = { 0 };

    snprintf(end.detail, sizeof end.detail, "%s", ended->detail);
    if (vm->life == LIFE_STARTING) { /* it ran for a moment, or never */
        fault_host(&f, EIO, "%s ended as soon as it ran: %.200s", vm->name, ended->detail);
        vm->why_not = f;
    }
    life_ended(host, vm, &end);
}

void brokers_said(struct host *host, struct host_vm *vm, const Bulkhead__ClientEnvelope *said)
{
    if (vm->life == LIFE_STOPPED)
        return;
    switch ((int)said->body_case) {
    case BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN:
        on_plan(host, vm, said->plan);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST:
        if (vm->linked)
            on_list(host, vm, said->process_list);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT:
        on_event(host, vm, said->event);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED:
        on_ended(host, vm, said->vm_ended);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY:
        /* A guest that can't be asked (it is paused, say) is not waited for. */
        if (said->id == BROKERS_BUTTON && said->reply->error != 0 && vm->life == LIFE_HALTING)
            host_vm_enter(host, vm, LIFE_STOPPING);
        if (said->id == BROKERS_REMOVE && vm->moving == MOVING_BACK)
            on_removed(host, vm, said->reply);
        break;
    default:
        break;
    }
}

void brokers_link_lost(struct host *host, struct host_vm *vm)
{
    const struct fault gone = { .error = EAGAIN, .text = "its broker is gone: try again" };

    /* One that lets go as soon as it has joined would have the starter connect for ever. */
    if (vm->joined && host->now - vm->joined_ns >= BROKERS_STAYS_MS * UINT64_C(1000000))
        vm->link_tries = 0;
    vm->linked = vm->joined = vm->told = false;
    vm->asked_ns = 0;
    if (vm->moving == MOVING_BACK)
        devices_done(host, vm, &gone);
    /* A successor of the broker may listen in a moment. */
    vm->link_ns = vm->link_tries == 0 ? 0 : life_next_try(host, &vm->link_tries);
    vm->link_tries += vm->link_tries == 0;
}
