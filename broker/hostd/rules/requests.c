/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c - see requests.h. A VM that the asker may not see is found by nobody below: find_vm() alone looks for
 * one, and says the same whether there is none or another's. */
#include "hostd/rules/requests.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/rules/devices.h"
#include "hostd/rules/life.h"
#include "hostd/rules/names.h"
#include "hostd/rules/quota.h"
#include "hostd/rules/rights.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/tenants.h"

#define MS UINT64_C(1000000)
#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name

/* A request that is looked at. vm: the one that it names. */
struct asked {
    struct session *session;
    const Bulkhead__Tenant *tenant;
    struct host_ticket ticket;
    const Bulkhead__HostEnvelope *e;
    struct host_vm *vm;
    Bulkhead__VmSpec **spec;
};

static void refuse(struct host *host, struct asked *a, int error, const char *fmt, ...)
    printf_like(4, 5);

static void refuse(struct host *host, struct asked *a, int error, const char *fmt, ...)
{
    struct fault f = { .error = error, .bad_input = true };
    struct host_action *reply;
    va_list args;

    va_start(args, fmt);
    vsnprintf(f.text, sizeof f.text, fmt, args);
    va_end(args);
    reply = host_reply(host, &a->ticket, &f);
    if (reply) /* of names that who asks has said himself, or may see */
        snprintf(reply->text, sizeof reply->text, "%s", f.text);
}

bool request_may_see(const struct host *host, const struct session *session,
                     const struct host_vm *vm)
{
    const Bulkhead__Tenant *tenant = session->tenant;
    const struct host_vm *holder = rights_holder(host, session);

    if (session->holder != 0)
        return tenant && holder && rights_cover(holder, vm);
    return tenant && vm->spec && (tenant->host || strcmp(tenant->name, vm->tenant) == 0);
}

bool request_may_hear(const struct host *host, const struct session *session,
                      const struct host_action *notice)
{
    const struct host_vm *holder = rights_holder(host, session), *vm;

    if (session->holder == 0)
        return tenants_may_hear(session->tenant, notice->tenant);
    vm = host_find(host, notice->tenant, notice->vm_name);
    return holder && vm && session->tenant && rights_allow(holder, B(FOLLOW_HOST)) &&
           rights_cover(holder, vm);
}

/* ---- create ---- */

/* A name with a tenant before it is the host's own to give. */
static bool take_name(struct host *host, struct asked *a, char *tenant, char *name)
{
    Bulkhead__VmConfig *c = (*a->spec)->config;
    char shown[NAMES_SHOWN_BYTES], *bare;

    if (!names_split(c->name, a->tenant->name, tenant, name) ||
        (strcmp(tenant, a->tenant->name) != 0 && !a->tenant->host)) {
        refuse(host, a, EINVAL,
               "VM name '%s' is not usable: 1 to 48 letters, digits, '.', '_' or '-', not starting "
               "with '.' or '-'",
               names_show(c->name, shown));
        return false;
    }
    bare = strdup(name);
    if (!bare) {
        refuse(host, a, ENOMEM, "no memory for the VM");
        return false;
    }
    if ((const char *)c->name != protobuf_c_empty_string)
        free(c->name);
    c->name = bare;
    return true;
}

static int check_new(struct host *host, struct asked *a, const char *tenant, const char *name,
                     struct fault *f)
{
    const Bulkhead__Tenant *t = tenants_find(host->config, tenant);
    int r;

    if (!t)
        return fault_input(f, "there is no tenant %s", tenant);
    if (host_find(host, tenant, name)) {
        fault_input(f, "there is a VM %s already: remove it, or choose another name", name);
        f->error = EEXIST;
        return -EEXIST;
    }
    (*a->spec)->config->trace_start_ns = 0; /* of the client's start, not of the VM's */
    rights_fill(*a->spec);
    r = spec_check(host, *a->spec, t, f);
    if (r == 0)
        r = rights_check(*a->spec, f);
    if (r == 0)
        r = devices_check(*a->spec, t, f);
    if (r < 0)
        return r;
    r = quota_check_create(host, t, f);
    if (r == 0 && a->e->create_vm->start)
        r = life_check_start(host, NULL, tenant, *a->spec, a->tenant, f);
    return r;
}

static void on_create(struct host *host, struct asked *a)
{
    char tenant[HOSTDIR_TENANT_BYTES], name[HOSTDIR_VM_BYTES];
    struct fault f = { 0 };
    struct host_vm *vm;

    if (!a->spec || !*a->spec || !(*a->spec)->config) {
        refuse(host, a, EINVAL, "a VM needs a configuration: send one");
        return;
    }
    if (!take_name(host, a, tenant, name))
        return;
    if (check_new(host, a, tenant, name, &f) < 0) {
        host_reply(host, &a->ticket, &f);
        return;
    }
    vm = host_vm_new(host, tenant, name);
    if (!vm) {
        refuse(host, a, ENOSPC, "the service has %d VMs, which is all it keeps: remove one",
               HOST_MAX_VMS);
        return;
    }
    vm->spec = *a->spec;
    *a->spec = NULL;
    vm->cost = spec_cost(vm->spec->config);
    vm->created_ns = host->realtime;
    vm->unsaved = true;
    vm->want_start = a->e->create_vm->start;
    host_wait(host, vm->want_start ? WAIT_RUNS : WAIT_SAVED, vm, &a->ticket);
    host_notice(host, vm, "created", "%s", "");
}

/* ---- life ---- */

static bool is_leaving_us(struct host *host, struct asked *a)
{
    if (a->vm->want_remove)
        refuse(host, a, EBUSY, "%s is being removed: wait until it is gone", a->vm->name);
    return a->vm->want_remove;
}

static void on_start(struct host *host, struct asked *a)
{
    struct fault f = { 0 };

    if (is_leaving_us(host, a))
        return;
    if (a->vm->life == LIFE_LEAVING && !a->vm->want_start) { /* its start is a moment away */
        a->vm->want_start = true;
        host_wait(host, WAIT_RUNS, a->vm, &a->ticket);
        return;
    }
    if (a->vm->life == LIFE_RUNNING || a->vm->life == LIFE_HALTING ||
        a->vm->life == LIFE_STOPPING) {
        refuse(host, a, EALREADY, "%s runs already", a->vm->name);
        return;
    }
    if (a->vm->life == LIFE_STOPPED && !a->vm->want_start) {
        if (life_check_start(host, a->vm, a->vm->tenant, a->vm->spec, a->tenant, &f) < 0) {
            host_reply(host, &a->ticket, &f);
            return;
        }
        a->vm->want_start = true;
    }
    a->vm->autostart = false; /* somebody waits */
    host_wait(host, WAIT_RUNS, a->vm, &a->ticket);
}

static void on_halt(struct host *host, struct asked *a)
{
    if (!host_vm_is_up(a->vm)) {
        host_reply_ok(host, &a->ticket, "%s is stopped", a->vm->name);
        return;
    }
    life_halt(host, a->vm, a->e->halt_vm->grace_ms * MS);
    host_wait(host, WAIT_STOPPED, a->vm, &a->ticket);
}

static void on_reboot(struct host *host, struct asked *a)
{
    struct fault f = { 0 };

    if (is_leaving_us(host, a))
        return;
    if (a->vm->life != LIFE_RUNNING && a->vm->life != LIFE_HALTING) {
        refuse(host, a, EINVAL, "%s doesn't run: start it", a->vm->name);
        return;
    }
    if (life_check_start(host, a->vm, a->vm->tenant, a->vm->spec, a->tenant, &f) < 0) {
        host_reply(host, &a->ticket, &f); /* it could not start again */
        return;
    }
    life_reboot(host, a->vm);
    host_wait(host, WAIT_RUNS, a->vm, &a->ticket);
}

static void on_remove(struct host *host, struct asked *a)
{
    if (host_vm_is_up(a->vm) && !a->e->remove_vm->force && a->vm->life != LIFE_LEAVING) {
        refuse(host, a, EBUSY, "%s runs: halt it first, or remove it with --force", a->vm->name);
        return;
    }
    life_halt(host, a->vm, 0);
    a->vm->want_remove = true;
    host_wait(host, WAIT_REMOVED, a->vm, &a->ticket);
}

static void on_wait(struct host *host, struct asked *a)
{
    if (host_vm_is_up(a->vm))
        host_wait(host, WAIT_DETAILS, a->vm, &a->ticket);
    else
        host_answer(host, &a->ticket, ANSWER_DETAILS, a->vm);
}

/* ---- channels ---- */

/* False: that was answered. What a note says is the VM's spawner's affair. */
static bool may_note(struct host *host, struct asked *a)
{
    size_t len = a->e->open_vm->note.len;

    if (!spec_may_have_user_net(tenants_find(host->config, a->vm->tenant)))
        refuse(
            host, a, EPERM,
            "tenant %s may have no user network: use a tap that it may have, or ask who runs the "
            "host for user_net in its tenants.yaml",
            a->vm->tenant);
    else if (len == 0 || len > HOST_MAX_NOTE_BYTES)
        refuse(host, a, EINVAL, "a note of %zu bytes: is all of one release?", len);
    else
        return true;
    return false;
}

static void on_open(struct host *host, struct asked *a)
{
    static const struct {
        enum ask_kind ask;
        enum ask_channel channel;
    } ways[] = {
        [BULKHEAD__VM_CHANNEL__VM_COMMAND] = { ASK_CONNECT, CHANNEL_COMMAND },
        [BULKHEAD__VM_CHANNEL__VM_CONSOLE] = { ASK_CONNECT, CHANNEL_CONSOLE },
        [BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG] = { ASK_LOGS, CHANNEL_CONSOLE },
        [BULKHEAD__VM_CHANNEL__VM_BROKER_LOG] = { ASK_LOGS, CHANNEL_BROKER },
        [BULKHEAD__VM_CHANNEL__VM_USER_NET] = { ASK_NOTE, CHANNEL_NONE },
    };
    unsigned way = (unsigned)a->e->open_vm->channel;

    if (way >= ARRAY_SIZE(ways)) {
        refuse(host, a, EINVAL, "channel %u is not known: is the client newer than the service?",
               way);
        return;
    }
    if (ways[way].ask != ASK_LOGS && !host_vm_is_up(a->vm)) {
        refuse(host, a, ENOTCONN, "%s doesn't run: start it", a->vm->name);
        return;
    }
    if (ways[way].ask == ASK_NOTE && !may_note(host, a))
        return;
    if (a->vm->opening >= HOST_MAX_OPENING || !host_may_ask(host)) {
        refuse(host, a, EAGAIN, "too much is being opened at once: try again");
        return;
    }
    a->vm->opening++;
    host_ask(host, ways[way].ask, ways[way].channel, a->vm, &a->ticket);
    if (ways[way].ask == ASK_NOTE)
        host->actions.list[host->actions.n - 1].note = &a->e->open_vm->note;
}

/* ---- the rest ---- */

static void on_list(struct host *host, struct asked *a)
{
    host_answer(host, &a->ticket, ANSWER_LIST, NULL);
}

static void on_inspect(struct host *host, struct asked *a)
{
    host_answer(host, &a->ticket, ANSWER_DETAILS, a->vm);
}

static void on_follow(struct host *host, struct asked *a)
{
    a->session->follows = true;
    host_reply_ok(host, &a->ticket, "%s", "");
}

static void on_tenants(struct host *host, struct asked *a)
{
    host_answer(host, &a->ticket, ANSWER_TENANTS, NULL);
}

static void on_reload(struct host *host, struct asked *a)
{
    if (host_may_ask(host))
        host_ask(host, ASK_TERMS, CHANNEL_NONE, NULL, &a->ticket);
    else
        refuse(host, a, EAGAIN, "the service is busy: try again");
}

static void on_host(struct host *host, struct asked *a)
{
    host_answer(host, &a->ticket, ANSWER_HOST, NULL);
}

/* Of its own VM: it names none. */
static void move(struct host *host, struct asked *a, const char *device, bool back)
{
    const struct host_vm *holder = rights_holder(host, a->session);
    struct fault f = { 0 };

    if (!holder)
        refuse(host, a, EPERM,
               "only the guest of a VM asks for a device of its own: see "
               "`bulkhead help add`");
    else if (!devices_ask(host, host_vm(host, holder->serial), device, back, &a->ticket, &f))
        refuse(host, a, f.error, "%s", f.text);
}

static void on_ask_device(struct host *host, struct asked *a)
{
    move(host, a, a->e->ask_device->device, false);
}

static void on_return_device(struct host *host, struct asked *a)
{
    move(host, a, a->e->return_device->device, true);
}

static const struct rule {
    Bulkhead__HostEnvelope__BodyCase body;
    void (*take)(struct host *host, struct asked *asked);
    bool of_host; /* the host's own alone */
} rules[] = {
    { B(CREATE_VM), on_create, false },
    { B(START_VM), on_start, false },
    { B(HALT_VM), on_halt, false },
    { B(REBOOT_VM), on_reboot, false },
    { B(REMOVE_VM), on_remove, false },
    { B(LIST_VMS), on_list, false },
    { B(INSPECT_VM), on_inspect, false },
    { B(WAIT_VM), on_wait, false },
    { B(OPEN_VM), on_open, false },
    { B(FOLLOW_HOST), on_follow, false },
    { B(LIST_TENANTS), on_tenants, false },
    { B(RELOAD_TENANTS), on_reload, true },
    { B(GET_HOST), on_host, false },
    { B(ASK_DEVICE), on_ask_device, false },
    { B(RETURN_DEVICE), on_return_device, false },
};

static const struct rule *find_rule(Bulkhead__HostEnvelope__BodyCase body)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i].body == body)
            return &rules[i];
    return NULL;
}

bool request_is_known(Bulkhead__HostEnvelope__BodyCase body)
{
    return find_rule(body) != NULL;
}

/* What the request calls its VM, whatever request it is; NULL: it names none. */
static const char *named_vm(const Bulkhead__HostEnvelope *e)
{
    const ProtobufCFieldDescriptor *body, *vm;
    const void *message;

    body = protobuf_c_message_descriptor_get_field(e->base.descriptor, (unsigned)e->body_case);
    if (!body || body->type != PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    vm = protobuf_c_message_descriptor_get_field_by_name(body->descriptor, "vm");
    if (!vm || vm->type != PROTOBUF_C_TYPE_STRING || vm->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    message = *(void *const *)((const char *)e + body->offset);
    return *(char *const *)((const char *)message + vm->offset);
}

/* False: that was answered. */
static bool find_vm(struct host *host, struct asked *a, const char *name)
{
    char tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES], shown[NAMES_SHOWN_BYTES];

    if (names_split(name, a->tenant->name, tenant, vm))
        a->vm = host_find(host, tenant, vm);
    if (a->vm && request_may_see(host, a->session, a->vm))
        return true;
    a->vm = NULL;
    refuse(host, a, ENOENT, "there is no VM '%s': `bulkhead ls` lists them",
           names_show(name, shown));
    return false;
}

/* Of what its right is not for it hears the same, whichever VM it names. */
static bool may_guest_ask(struct host *host, struct asked *a, const struct rule *rule)
{
    const struct host_vm *holder = rights_holder(host, a->session);

    if (holder && rights_allow(holder, rule->body))
        return true;
    refuse(host, a, EPERM, "this VM has no right to ask for that: its description would give it");
    return false;
}

static bool may_ask(struct host *host, struct asked *a, const struct rule *rule)
{
    if (a->session->pending > HOST_MAX_PENDING)
        refuse(host, a, EAGAIN, "%d requests of this connection have no answer yet: wait for one",
               HOST_MAX_PENDING);
    else if (!a->tenant)
        refuse(host, a, EACCES,
               "uid %u speaks for no tenant of this host: who runs it adds it with `bulkhead "
               "tenants`",
               a->session->uid);
    else if (!rule)
        refuse(host, a, EINVAL, "the request is not known: is the client newer than the service?");
    else if (rule->of_host && !a->tenant->host)
        refuse(host, a, EPERM, "only who runs the host may do that");
    else
        return a->session->holder == 0 || may_guest_ask(host, a, rule);
    return false;
}

void request_take(struct host *host, struct session *session, const struct host_event *event)
{
    const struct rule *rule = find_rule(event->request->body_case);
    struct asked a = { .session = session, .tenant = session->tenant, .e = event->request };
    const char *name;

    session->pending++;
    a.ticket = (struct host_ticket){ session->serial, event->request->id };
    a.spec = event->spec;
    if (!may_ask(host, &a, rule))
        return;
    name = named_vm(event->request);
    if (!name || find_vm(host, &a, name))
        rule->take(host, &a);
}
