/* SPDX-License-Identifier: Apache-2.0 */
/* script.c - see script.h. */
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/rules/spec.h"

#define MS UINT64_C(1000000)
#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))

/* The answer is made right after the step, as run/ does it. */
static void make_answer(struct script *s, const struct host_action *a,
                        const Bulkhead__HostEnvelope *request)
{
    struct answer *answer = answers_make(&s->host, a, request);
    const Bulkhead__HostEnvelope *e;
    uint8_t *bytes;
    size_t len;

    assert_non_null(answer);
    e = answers_envelope(answer);
    len = bulkhead__host_envelope__get_packed_size(e);
    assert_true(len <= 65536);
    bytes = malloc(len);
    bulkhead__host_envelope__pack(e, bytes);
    if (s->answer)
        bulkhead__host_envelope__free_unpacked(s->answer, NULL);
    s->answer = bulkhead__host_envelope__unpack(NULL, len, bytes);
    s->answered = a->ticket;
    free(bytes);
    answers_free(answer);
}

void script_happen(struct script *s, struct host_event e)
{
    e.now = s->now += MS;
    e.realtime = UINT64_C(1700000000000000000) + s->now;
    host_step(&s->host, &e);
    assert_false(s->host.actions.full);
    for (size_t i = 0; i < s->host.actions.n; i++) {
        const struct host_action *a = &s->host.actions.list[i];

        if (a->kind == HOST_ANSWER)
            make_answer(s, a, e.request);
        if (a->kind == HOST_QUIT && a->flag)
            fail_msg("%s", a->text);
        assert_true(s->n_log < SCRIPT_LOG);
        s->log[s->n_log++] = *a;
    }
}

static void take_out(struct script *s, unsigned at)
{
    s->n_log--;
    memmove(&s->log[at], &s->log[at + 1], (s->n_log - at) * sizeof s->log[0]);
}

/* ---- tenants ---- */

static Bulkhead__HostConfig *make_config(const Bulkhead__TenantQuota *quota)
{
    static uint32_t uids[3][1] = { { UID_ACME }, { UID_BETA }, { UID_ROOT } };
    static char *trees[3][1] = { { T("/acme") }, { T("/beta/") }, { T("/") } };
    static char *taps[1] = { T("web*") };
    static const char *const names[] = { "acme", "beta", "ops" };
    Bulkhead__Tenant tenants[3], *pointers[3];
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT, *copy;
    uint8_t *bytes;
    size_t len;

    config.tenants = pointers;
    config.n_tenants = 3;
    for (unsigned i = 0; i < 3; i++) {
        bulkhead__tenant__init(&tenants[i]);
        pointers[i] = &tenants[i];
        tenants[i].name = T(names[i]);
        tenants[i].uids = uids[i];
        tenants[i].n_uids = 1;
        tenants[i].trees = trees[i];
        tenants[i].n_trees = 1;
        tenants[i].host = i == 2;
    }
    tenants[0].quota = (Bulkhead__TenantQuota *)(uintptr_t)quota;
    tenants[0].taps = taps;
    tenants[0].n_taps = 1;
    len = bulkhead__host_config__get_packed_size(&config);
    bytes = malloc(len);
    bulkhead__host_config__pack(&config, bytes);
    copy = bulkhead__host_config__unpack(NULL, len, bytes);
    free(bytes);
    return copy;
}

void script_terms(struct script *s, const Bulkhead__TenantQuota *quota)
{
    Bulkhead__HostConfig *config = make_config(quota);

    script_happen(s, (struct host_event){ .kind = HOST_REPORTED,
                                          .ask = script_asked(s, ASK_TERMS),
                                          .config = &config });
    assert_null(config);
}

void script_begin(struct script *s, const Bulkhead__TenantQuota *quota)
{
    memset(s, 0, sizeof *s);
    s->now = UINT64_C(1000000) * MS;
    host_init(&s->host, "0.1.0", UINT64_C(64) << 30);
    script_happen(s, (struct host_event){ .kind = HOST_BEGIN });
    script_terms(s, quota);
}

void script_open(struct script *s)
{
    script_begin(s, NULL);
    script_does(s, ASK_LOAD, 0);
    assert_true(script_happened(s, HOST_READY));
}

void script_end(struct script *s)
{
    host_deinit(&s->host);
    if (s->answer)
        bulkhead__host_envelope__free_unpacked(s->answer, NULL);
    s->answer = NULL;
}

/* ---- clients ---- */

uint64_t script_connect(struct script *s, uint32_t uid)
{
    uint64_t session = 0;

    script_happen(
        s, (struct host_event){ .kind = HOST_CONNECTED, .uid = uid, .ret_session = &session });
    return session;
}

void script_leave(struct script *s, uint64_t session)
{
    script_happen(s, (struct host_event){ .kind = HOST_DISCONNECTED, .session = session });
}

void script_send(struct script *s, uint64_t session, Bulkhead__HostEnvelope *e)
{
    struct host_event event = { .kind = HOST_REQUEST, .session = session, .request = e };
    Bulkhead__VmSpec *spec = NULL;

    e->id = ++s->request;
    if (e->body_case == B(CREATE_VM) && e->create_vm->spec) {
        spec = spec_copy(e->create_vm->spec);
        event.spec = &spec;
    }
    script_happen(s, event);
    if (spec)
        bulkhead__vm_spec__free_unpacked(spec, NULL);
}

void script_create_with(struct script *s, uint64_t session, const char *name, const char *disk,
                        const char *tap, const char *socket, bool start)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm create = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig d = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &d };
    Bulkhead__NetConfig n = BULKHEAD__NET_CONFIG__INIT, *nets[] = { &n };
    Bulkhead__VsockConfig vsock = BULKHEAD__VSOCK_CONFIG__INIT;
    char kernel[64];

    snprintf(kernel, sizeof kernel, "/%s/vmlinuz",
             host_session(&s->host, session)->uid == UID_BETA ? "beta" : "acme");
    config.name = T(name);
    config.kernel = kernel;
    if (disk) {
        d.path = T(disk);
        config.disks = disks;
        config.n_disks = 1;
    }
    if (tap) {
        n.tap = T(tap);
        config.nets = nets;
        config.n_nets = 1;
    }
    if (socket) {
        vsock.enabled = true;
        vsock.cid = 3;
        vsock.socket = T(socket);
        config.vsock = &vsock;
    }
    spec.config = &config;
    create.spec = &spec;
    create.start = start;
    e.body_case = B(CREATE_VM);
    e.create_vm = &create;
    script_send(s, session, &e);
}

void script_create(struct script *s, uint64_t session, const char *name, bool start)
{
    script_create_with(s, session, name, NULL, NULL, NULL, start);
}

void script_halt(struct script *s, uint64_t session, const char *vm, uint32_t grace_ms)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__HaltVm halt = BULKHEAD__HALT_VM__INIT;

    halt.vm = T(vm);
    halt.grace_ms = grace_ms;
    e.body_case = B(HALT_VM);
    e.halt_vm = &halt;
    script_send(s, session, &e);
}

void script_remove(struct script *s, uint64_t session, const char *vm, bool force)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__RemoveVm remove = BULKHEAD__REMOVE_VM__INIT;

    remove.vm = T(vm);
    remove.force = force;
    e.body_case = B(REMOVE_VM);
    e.remove_vm = &remove;
    script_send(s, session, &e);
}

void script_open_channel(struct script *s, uint64_t session, const char *vm,
                         Bulkhead__VmChannel channel)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__OpenVm open = BULKHEAD__OPEN_VM__INIT;

    open.vm = T(vm);
    open.channel = channel;
    open.note = s->note;
    e.body_case = B(OPEN_VM);
    e.open_vm = &open;
    script_send(s, session, &e);
}

/* Any request, empty but for the VM it names if it names one. */
void script_ask(struct script *s, uint64_t session, Bulkhead__HostEnvelope__BodyCase body,
                const char *vm)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
        &bulkhead__host_envelope__descriptor, (unsigned)body);
    const ProtobufCMessageDescriptor *type = field->descriptor;
    const ProtobufCFieldDescriptor *name =
        protobuf_c_message_descriptor_get_field_by_name(type, "vm");
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    char *message = calloc(1, type->sizeof_message);

    type->message_init((ProtobufCMessage *)(void *)message);
    if (vm && name)
        memcpy(message + name->offset, &vm, sizeof vm);
    e.body_case = body;
    memcpy((char *)&e + field->offset, &message, sizeof message);
    script_send(s, session, &e);
    free(message);
}

int script_replied(struct script *s, uint64_t session, uint32_t request)
{
    for (unsigned i = 0; i < s->n_log; i++) {
        const struct host_action *a = &s->log[i];
        int error = a->error;

        if (a->kind != HOST_REPLY || a->ticket.session != session || a->ticket.request != request)
            continue;
        snprintf(s->text, sizeof s->text, "%s", a->text);
        take_out(s, i);
        return error;
    }
    return -1;
}

const Bulkhead__HostEnvelope *script_answered(struct script *s, uint64_t session)
{
    if (!s->answer || s->answered.session != session || s->answered.request != s->request)
        return NULL;
    return s->answer;
}

/* ---- the starter ---- */

uint32_t script_asked(struct script *s, enum ask_kind kind)
{
    for (unsigned i = 0; i < s->n_log; i++) {
        uint32_t ask = s->log[i].ask;

        if (s->log[i].kind != HOST_ASK || s->log[i].asks != kind)
            continue;
        take_out(s, i);
        return ask;
    }
    return 0;
}

void script_done(struct script *s, uint32_t ask, int error, size_t n_fds)
{
    struct host_event e = { .kind = HOST_REPORTED, .ask = ask, .n_fds = n_fds };

    assert_int_not_equal(ask, 0);
    e.fault.error = error;
    snprintf(e.fault.text, sizeof e.fault.text, "%s", error ? "the starter's word" : "");
    script_happen(s, e);
}

void script_does(struct script *s, enum ask_kind kind, int error)
{
    script_done(s, script_asked(s, kind), error, error == 0 && kind == ASK_CONNECT);
}

void script_kept(struct script *s, const char *tenant, const char *name, bool lives,
                 const Bulkhead__VmDetails *details)
{
    Bulkhead__VmDetails *kept = NULL;
    uint8_t bytes[8192];

    if (details) {
        assert_true(bulkhead__vm_details__get_packed_size(details) <= sizeof bytes);
        kept =
            bulkhead__vm_details__unpack(NULL, bulkhead__vm_details__pack(details, bytes), bytes);
    }
    script_happen(
        s, (struct host_event){
               .kind = HOST_KEPT, .tenant = tenant, .name = name, .kept = &kept, .lives = lives });
    if (kept)
        bulkhead__vm_details__free_unpacked(kept, NULL);
}

/* ---- a VM ---- */

struct host_vm *script_vm(struct script *s, const char *tenant, const char *name)
{
    return host_find(&s->host, tenant, name);
}

void script_launched(struct script *s, struct host_vm *vm, int error)
{
    struct host_event e = { .kind = HOST_LAUNCHED, .vm = vm->serial };

    e.fault.error = error;
    snprintf(e.fault.text, sizeof e.fault.text, "%s", error ? "the launcher's word" : "");
    script_happen(s, e);
}

void script_says(struct script *s, struct host_vm *vm, Bulkhead__ClientEnvelope *e)
{
    script_happen(s, (struct host_event){ .kind = HOST_SAID, .vm = vm->serial, .said = e });
}

void script_joins(struct script *s, struct host_vm *vm, const char *state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;

    script_does(s, ASK_CONNECT, 0);
    assert_true(script_happened(s, HOST_LINK));
    list.state = T(state);
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST;
    e.process_list = &list;
    script_says(s, vm, &e);
}

void script_saves(struct script *s)
{
    uint32_t ask;

    while ((ask = script_asked(s, ASK_SAVE)) != 0)
        script_done(s, ask, 0, 0);
}

void script_runs(struct script *s, const char *tenant, const char *name)
{
    struct host_vm *vm = script_vm(s, tenant, name);

    script_saves(s);
    script_does(s, ASK_START, 0);
    script_saves(s);
    script_launched(s, vm, 0);
    script_joins(s, vm, "running");
    assert_int_equal(vm->life, LIFE_RUNNING);
}

void script_guest_ends(struct script *s, struct host_vm *vm)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;

    ended.state = BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN;
    ended.detail = T("shut down");
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED;
    e.vm_ended = &ended;
    script_says(s, vm, &e);
}

void script_is_gone(struct script *s, struct host_vm *vm)
{
    if (vm->linked)
        script_happen(s, (struct host_event){ .kind = HOST_LINK_LOST, .vm = vm->serial });
    script_does(s, ASK_CONNECT, ENOENT);
}

bool script_told(struct script *s, struct host_vm *vm, Bulkhead__ClientEnvelope__BodyCase body)
{
    for (unsigned i = 0; i < s->n_log; i++)
        if (s->log[i].kind == HOST_TELL && s->log[i].vm == vm->serial && s->log[i].body == body) {
            take_out(s, i);
            return true;
        }
    return false;
}

bool script_noticed(struct script *s, const char *name)
{
    for (unsigned i = 0; i < s->n_log; i++)
        if (s->log[i].kind == HOST_NOTICE && s->log[i].name && strcmp(s->log[i].name, name) == 0) {
            take_out(s, i);
            return true;
        }
    return false;
}

unsigned script_count(const struct script *s, enum host_action_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_log; i++)
        n += s->log[i].kind == kind;
    return n;
}

bool script_happened(struct script *s, enum host_action_kind kind)
{
    for (unsigned i = 0; i < s->n_log; i++)
        if (s->log[i].kind == kind) {
            take_out(s, i);
            return true;
        }
    return false;
}

/* ---- time ---- */

void script_wait(struct script *s, uint64_t ms)
{
    s->now += ms * MS;
    script_happen(s, (struct host_event){ .kind = HOST_DEADLINE });
}

bool script_wait_deadline(struct script *s)
{
    uint64_t at = host_next_deadline(&s->host);

    if (at == 0)
        return false;
    s->now = at > s->now ? at : s->now;
    script_happen(s, (struct host_event){ .kind = HOST_DEADLINE });
    return true;
}
