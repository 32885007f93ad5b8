/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - see facts.h. */
#include "hostd/rules/facts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"

void host_claims_clear(struct claims *claims)
{
    for (size_t i = 0; i < claims->n; i++)
        free(claims->list[i].name);
    free(claims->list);
    *claims = (struct claims){ 0 };
}

void host_init(struct host *host, const char *version, uint64_t memory_bytes)
{
    host->version = version;
    host->memory_bytes = memory_bytes;
    host->first_ask = 1;
}

void host_deinit(struct host *host)
{
    while (host->n_vms > 0)
        host_vm_free(host, host->vms[host->n_vms - 1]);
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++)
        host_session_free(&host->sessions[i]);
    if (host->config)
        bulkhead__host_config__free_unpacked(host->config, NULL);
    host->config = NULL;
    host_actions_deinit(&host->actions);
}

/* ---- VMs ---- */

struct host_vm *host_vm(const struct host *host, uint64_t serial)
{
    struct host_vm *vm = host->places[serial % HOST_MAX_VMS];

    return vm && vm->serial == serial ? vm : NULL;
}

static int compare(const struct host_vm *vm, const char *tenant, const char *name)
{
    int r = strcmp(vm->tenant, tenant);

    return r != 0 ? r : strcmp(vm->name, name);
}

/* The first that is not before that one. */
static unsigned find_place(const struct host *host, const char *tenant, const char *name)
{
    unsigned from = 0, to = host->n_vms;

    while (from < to) {
        unsigned middle = (from + to) / 2;

        if (compare(host->vms[middle], tenant, name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

struct host_vm *host_find(const struct host *host, const char *tenant, const char *name)
{
    unsigned i = find_place(host, tenant, name);

    return i < host->n_vms && compare(host->vms[i], tenant, name) == 0 ? host->vms[i] : NULL;
}

unsigned host_find_after(const struct host *host, const char *tenant, const char *name)
{
    unsigned i = find_place(host, tenant, name);

    return i < host->n_vms && compare(host->vms[i], tenant, name) == 0 ? i + 1 : i;
}

struct host_vm *host_vm_new(struct host *host, const char *tenant, const char *name)
{
    unsigned at = find_place(host, tenant, name), place = 0;
    struct host_vm *vm;

    if (host->n_vms == HOST_MAX_VMS)
        return NULL;
    vm = calloc(1, sizeof *vm);
    if (!vm)
        return NULL;
    while (host->places[place])
        place++;
    vm->serial = ++host->n_serials * HOST_MAX_VMS + place;
    snprintf(vm->tenant, sizeof vm->tenant, "%s", tenant);
    snprintf(vm->name, sizeof vm->name, "%s", name);
    vm->life_ns = host->now;
    host->places[place] = vm;
    memmove(&host->vms[at + 1], &host->vms[at], (host->n_vms - at) * sizeof host->vms[0]);
    host->vms[at] = vm;
    host->n_vms++;
    return vm;
}

/* The link that leads to the next one for which that is so; NULL: there is none. */
static struct wait **find_wait(struct host_vm *vm, const enum wait_kind *kind, uint64_t session)
{
    for (struct wait **at = &vm->waits; *at; at = &(*at)->next)
        if (kind ? (*at)->kind == *kind : (*at)->ticket.session == session)
            return at;
    return NULL;
}

static void free_wait(struct host_vm *vm, struct wait **at)
{
    struct wait *wait = *at;

    *at = wait->next;
    vm->n_waits[wait->kind]--;
    free(wait);
}

void host_vm_free(struct host *host, struct host_vm *vm)
{
    unsigned at = find_place(host, vm->tenant, vm->name);

    host->n_vms--;
    memmove(&host->vms[at], &host->vms[at + 1], (host->n_vms - at) * sizeof host->vms[0]);
    host->places[vm->serial % HOST_MAX_VMS] = NULL;
    if (vm->spec)
        bulkhead__vm_spec__free_unpacked(vm->spec, NULL);
    host_claims_clear(&vm->claims);
    while (vm->waits)
        free_wait(vm, &vm->waits);
    free(vm);
}

void host_vm_enter(struct host *host, struct host_vm *vm, enum life life)
{
    vm->life = life;
    vm->life_ns = host->now;
    vm->told = false;
}

bool host_vm_is_up(const struct host_vm *vm)
{
    return vm->life != LIFE_STOPPED || vm->want_start;
}

/* ---- sessions ---- */

struct session *host_session(struct host *host, uint64_t serial)
{
    struct session *s = &host->sessions[serial % HOST_MAX_SESSIONS];

    return serial != 0 && s->serial == serial ? s : NULL;
}

struct session *host_session_new(struct host *host)
{
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++) {
        struct session *s = &host->sessions[i];

        if (s->serial != 0)
            continue;
        memset(s, 0, sizeof *s);
        s->serial = ++host->n_sessions * HOST_MAX_SESSIONS + i;
        return s;
    }
    return NULL;
}

void host_session_free(struct session *session)
{
    free(session->gids);
    memset(session, 0, sizeof *session);
}

void host_close_sessions_of(struct host *host, const struct host_vm *vm)
{
    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++)
        if (host->sessions[i].serial != 0 && host->sessions[i].holder == vm->serial)
            host_action_add(&host->actions, HOST_CLOSE)->session = host->sessions[i].serial;
}

/* ---- what is asked and waited for ---- */

bool host_may_ask(const struct host *host)
{
    return host->n_asks < HOST_MAX_ASKS / 2;
}

/* Where nothing is asked the first places do again, under numbers that were not there before: else the service comes past
 * all of them in time, and has memory for each. */
static void begin_places_again(struct host *host)
{
    if (host->n_asks > 0 || host->last_ask % HOST_MAX_ASKS < HOST_FEW_ASKS)
        return;
    host->last_ask = (host->last_ask / HOST_MAX_ASKS + 1) * HOST_MAX_ASKS;
    host->first_ask = host->last_ask + 1;
}

void host_ask(struct host *host, enum ask_kind kind, enum ask_channel channel,
              const struct host_vm *vm, const struct host_ticket *ticket)
{
    struct host_action *a = host_action_add(&host->actions, HOST_ASK);
    struct ask *ask;

    begin_places_again(host);
    do { /* never full: a VM has a few, a session HOST_MAX_PENDING at most */
        if (++host->last_ask == 0)
            host->last_ask = 1;
        ask = &host->asks[host->last_ask % HOST_MAX_ASKS];
    } while (ask->id != 0);
    *ask = (struct ask){
        .id = host->last_ask, .kind = kind, .channel = channel, .since_ns = host->now
    };
    ask->vm = vm ? vm->serial : 0;
    host->n_asks++;
    if (ticket) {
        ask->ticket = *ticket;
        ask->opens = vm != NULL;
    }
    a->ask = ask->id;
    a->asks = kind;
    a->channel = channel;
    a->vm = ask->vm;
}

struct ask *host_find_ask(struct host *host, uint32_t id)
{
    struct ask *ask = &host->asks[id % HOST_MAX_ASKS];

    return id != 0 && ask->id == id ? ask : NULL;
}

void host_ask_free(struct host *host, struct ask *ask)
{
    memset(ask, 0, sizeof *ask);
    host->n_asks--;
    while (host->first_ask != host->last_ask + 1 && !host_find_ask(host, host->first_ask))
        host->first_ask++;
}

void host_wait(struct host *host, enum wait_kind kind, struct host_vm *vm,
               struct host_ticket *ticket)
{
    const struct fault f = { .error = ENOMEM, .text = "no memory for what is waited for" };
    struct wait *wait = malloc(sizeof *wait);

    if (!wait) {
        host_reply(host, ticket, &f);
        return;
    }
    *wait = (struct wait){ .kind = kind, .ticket = *ticket, .next = vm->waits };
    vm->waits = wait;
    vm->n_waits[kind]++;
}

bool host_take_wait(struct host_vm *vm, enum wait_kind kind, struct host_ticket *ret_ticket)
{
    struct wait **at = vm->n_waits[kind] > 0 ? find_wait(vm, &kind, 0) : NULL;

    if (!at)
        return false;
    *ret_ticket = (*at)->ticket;
    free_wait(vm, at);
    return true;
}

void host_forget_tickets(struct host *host, uint64_t session)
{
    struct wait **at;

    for (unsigned i = 0; i < host->n_vms; i++) {
        while ((at = find_wait(host->vms[i], NULL, session)) != NULL)
            free_wait(host->vms[i], at);
        if (host->vms[i]->moving_for.session == session)
            host->vms[i]->moving_for = (struct host_ticket){ 0 };
    }
    for (uint32_t id = host->first_ask; id != host->last_ask + 1; id++) {
        struct ask *ask = host_find_ask(host, id);

        if (ask && ask->ticket.session == session)
            ask->ticket = (struct host_ticket){ 0 };
    }
}

/* ---- what is said ---- */

/* NULL: there is nobody to answer. */
static struct host_action *answer(struct host *host, struct host_ticket *ticket,
                                  enum host_action_kind kind)
{
    struct session *session = host_session(host, ticket->session);
    struct host_action *a;

    if (!session)
        return NULL;
    session->pending--;
    a = host_action_add(&host->actions, kind);
    a->ticket = *ticket;
    *ticket = (struct host_ticket){ 0 };
    return a;
}

struct host_action *host_reply(struct host *host, struct host_ticket *ticket,
                               const struct fault *fault)
{
    struct host_action *a = answer(host, ticket, HOST_REPLY);
    const struct session *session = a ? host_session(host, a->ticket.session) : NULL;

    if (!a)
        return NULL;
    a->error = fault->error;
    a->bad_input = fault->bad_input;
    snprintf(a->text, sizeof a->text, "%s",
             fault->error != 0 && session->holder != 0
                 ? "the host's service could not do that: who runs this VM can see why there"
                 : fault->text);
    return a;
}

void host_reply_ok(struct host *host, struct host_ticket *ticket, const char *fmt, ...)
{
    struct fault ok = { 0 };
    va_list args;

    va_start(args, fmt);
    vsnprintf(ok.text, sizeof ok.text, fmt, args);
    va_end(args);
    host_reply(host, ticket, &ok);
}

void host_answer(struct host *host, struct host_ticket *ticket, enum answer_kind kind,
                 const struct host_vm *vm)
{
    struct host_action *a = answer(host, ticket, HOST_ANSWER);

    if (!a)
        return;
    a->answer = kind;
    a->vm = vm ? vm->serial : 0;
}

static struct host_action *notice(struct host *host, const struct host_vm *vm)
{
    struct host_action *a = host_action_add(&host->actions, HOST_NOTICE);

    a->vm = vm ? vm->serial : 0;
    snprintf(a->tenant, sizeof a->tenant, "%s", vm ? vm->tenant : "");
    a->of_tenant = tally_next(&host->events, a->tenant);
    a->sequence = host->events.all;
    snprintf(a->vm_name, sizeof a->vm_name, "%s", vm ? vm->name : "");
    return a;
}

void host_notice(struct host *host, const struct host_vm *vm, const char *name, const char *fmt,
                 ...)
{
    struct host_action *a = notice(host, vm);
    va_list args;

    a->name = name;
    va_start(args, fmt);
    vsnprintf(a->text, sizeof a->text, fmt, args);
    va_end(args);
}

void host_pass_on(struct host *host, const struct host_vm *vm, const Bulkhead__Event *said)
{
    notice(host, vm)->said = said;
}
