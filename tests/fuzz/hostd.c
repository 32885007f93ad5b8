// SPDX-License-Identifier: Apache-2.0
// hostd.c - random requests, and whatever starter, launchers and VM brokers say, for the service's rules. Whatever comes:
// each ticket gets one answer, no tenant sees another's VM, no quota is exceeded, no two VMs have one disk, a broker is told
// something only on a session that is there, every event settles, and what is waited for has a deadline.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/rules/answers.h"
#include "hostd/rules/claims.h"
#include "hostd/rules/life.h"
#include "hostd/rules/quota.h"
#include "hostd/rules/rights.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/step.h"
#include "hostd/rules/tenants.h"
#include "hostd_said.h"
#include "hostd_tenants.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "hostd: not so: %s\n", #what);                                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MAX_EVENTS = 600, MAX_TICKETS = 1024, MAX_SESSIONS = 6, MAX_ASKS = 4096 };
enum { MANY_DEADLINES = 2000 };

static const char *const names[] = { "a", "b", "c", "acme/a", "beta/b", "ops/a", "..", "" };
static const char *const files[] = { "/acme/x", "/beta/x", "/beta/acme/y", "/z" };

static struct {
    struct host host;
    uint64_t now;
    uint64_t sessions[MAX_SESSIONS]; /* 0: not there */
    struct {
        uint64_t session;
        unsigned answers;
        bool left;
    } tickets[MAX_TICKETS];
    uint32_t n_tickets;
    struct {
        uint32_t id;
        enum ask_kind kind;
    } asks[MAX_ASKS]; /* not answered yet */
    unsigned n_asks;
    uint64_t linked[HOST_MAX_VMS]; /* serials of those whose broker has a session with us */
    const uint8_t *data;
    size_t left;
} f;

static unsigned pick(unsigned n)
{
    if (f.left == 0)
        return 0;
    f.left--;
    return *f.data++ % n;
}

static void answered(const struct host_ticket *ticket)
{
    CHECK(ticket->request < f.n_tickets);
    CHECK(f.tickets[ticket->request].session == ticket->session);
    CHECK(++f.tickets[ticket->request].answers == 1);
    CHECK(!f.tickets[ticket->request].left);
}

static void check_status(const Bulkhead__Tenant *tenant, const Bulkhead__VmStatus *status)
{
    CHECK(tenant->host || strcmp(status->tenant, tenant->name) == 0);
}

/* A guest's: it is told of those alone that its right is for. */
static void check_covered(const struct session *session, const Bulkhead__VmStatus *status)
{
    const struct host_vm *holder = rights_holder(&f.host, session);

    CHECK(session->holder == 0 ||
          (holder && rights_cover(holder, host_find(&f.host, status->tenant, status->name))));
}

static void check_answer(const struct host_action *a, const Bulkhead__HostEnvelope *request)
{
    const struct session *session = host_session(&f.host, a->ticket.session);
    const Bulkhead__Tenant *tenant = session->tenant;
    struct answer *answer = answers_make(&f.host, a, request);
    const Bulkhead__HostEnvelope *e;

    CHECK(answer);
    e = answers_envelope(answer);
    CHECK(e->id == a->ticket.request && bulkhead__host_envelope__get_packed_size(e) <= 65536);
    CHECK(session->holder == 0 || e->body_case == B(VM_LIST) || e->body_case == B(HOST_INFO) ||
          (e->body_case == B(VM_DETAILS) && !e->vm_details->spec));
    if (e->body_case == B(VM_DETAILS)) {
        check_status(tenant, e->vm_details->status);
        check_covered(session, e->vm_details->status);
    }
    for (size_t i = 0; e->body_case == B(VM_LIST) && i < e->vm_list->n_vms; i++) {
        check_status(tenant, e->vm_list->vms[i]);
        check_covered(session, e->vm_list->vms[i]);
    }
    for (size_t i = 0; e->body_case == B(TENANT_LIST) && i < e->tenant_list->n_tenants; i++)
        CHECK(tenant->host || strcmp(e->tenant_list->tenants[i]->tenant->name, tenant->name) == 0);
    answers_free(answer);
}

/* Those that were waited for too long are of no more interest. */
static void forget_late_asks(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < f.n_asks; i++)
        if (host_find_ask(&f.host, f.asks[i].id))
            f.asks[n++] = f.asks[i];
    f.n_asks = n;
}

static void perform(const struct host_action *a, const Bulkhead__HostEnvelope *request)
{
    uint64_t *link = &f.linked[a->vm % HOST_MAX_VMS];

    switch ((int)a->kind) {
    case HOST_ASK:
        if (f.n_asks == MAX_ASKS)
            forget_late_asks();
        CHECK(f.n_asks < MAX_ASKS);
        f.asks[f.n_asks].id = a->ask;
        f.asks[f.n_asks++].kind = a->asks;
        if (a->asks == ASK_SAVE) {
            size_t len;
            uint8_t *bytes = answers_description(host_vm(&f.host, a->vm), &len);

            CHECK(bytes && len < 61440);
            free(bytes);
        }
        break;
    case HOST_LINK:
        CHECK(*link == 0);
        *link = a->vm;
        break;
    case HOST_UNLINK:
        CHECK(*link == a->vm);
        *link = 0;
        break;
    case HOST_TELL:
        CHECK(*link == a->vm);
        break;
    case HOST_FORGET:
        CHECK(!host_vm(&f.host, a->vm));
        *link = 0;
        break;
    case HOST_REPLY:
        answered(&a->ticket);
        CHECK(a->error >= 0 && (a->error == 0 || a->text[0] != '\0'));
        break;
    case HOST_ANSWER:
        answered(&a->ticket);
        check_answer(a, request);
        break;
    case HOST_QUIT:
        CHECK(!a->flag);
        break;
    default:
        break;
    }
}

static bool waits(const struct host *host)
{
    for (unsigned i = 0; i < host->n_vms; i++) {
        const struct host_vm *vm = host->vms[i];

        if ((vm->life == LIFE_RUNNING && !vm->joined) || vm->life == LIFE_STARTING ||
            vm->life == LIFE_HALTING || vm->life == LIFE_STOPPING || vm->life == LIFE_LEAVING ||
            vm->moving != MOVING_NONE || vm->want_start || vm->want_remove ||
            (vm->unsaved && vm->spec))
            return true;
    }
    return host->n_asks > 0 || host->phase == HOST_LOADING || host->phase == HOST_FINDING;
}

/* One that is on its way out may still say that it has more than it was known to have: it is stopped already. */
static bool one_leaves(const char *tenant)
{
    for (unsigned i = 0; i < f.host.n_vms; i++)
        if (strcmp(f.host.vms[i]->tenant, tenant) == 0 &&
            (f.host.vms[i]->life == LIFE_STOPPING || f.host.vms[i]->life == LIFE_LEAVING))
            return true;
    return false;
}

static void check(void)
{
    const Bulkhead__Tenant *acme = tenants_find(f.host.config, "acme");
    struct fault fault;

    CHECK(!waits(&f.host) || host_next_deadline(&f.host) != 0);
    CHECK(f.host.n_asks <= f.n_asks);
    for (unsigned i = 0; i < f.host.n_vms; i++) {
        const struct host_vm *vm = f.host.vms[i];

        CHECK(i == 0 || strcmp(f.host.vms[i - 1]->tenant, vm->tenant) < 0 ||
              strcmp(f.host.vms[i - 1]->name, vm->name) < 0);
        CHECK(host_vm(&f.host, vm->serial) == vm);
        CHECK(vm->linked == (f.linked[vm->serial % HOST_MAX_VMS] == vm->serial));
        if (vm->life == LIFE_STARTING && !one_leaves(vm->tenant))
            CHECK(claims_check(&f.host, vm, vm->tenant, &vm->claims, NULL, &fault) == 0);
    }
    if (acme && f.host.phase == HOST_OPEN) {
        struct usage u = quota_usage(&f.host, acme);

        CHECK(u.vms <= VMS_OF_ACME && u.vcpus <= VCPUS_OF_ACME);
    }
}

static void step(struct host_event e)
{
    e.now = f.now += 1000000;
    e.realtime = UINT64_C(1700000000000000000) + f.now;
    host_step(&f.host, &e);
    CHECK(!f.host.actions.full);
    for (size_t i = 0; i < f.host.actions.n; i++)
        perform(&f.host.actions.list[i], e.request);
    check();
}

/* ---- clients ---- */

static const struct host_vm *any_holder(void)
{
    for (unsigned i = 0; i < f.host.n_vms; i++)
        if (f.host.vms[i]->spec && rights_has_any(f.host.vms[i]->spec))
            return f.host.vms[i];
    return NULL;
}

/* The last two are of guests, if there is a VM with a right. */
static void connect_one(unsigned i)
{
    static const uint32_t uids[] = { 1, 2, 0, 9 };
    const struct host_vm *holder = i >= MAX_SESSIONS - 2 ? any_holder() : NULL;
    uint64_t session = 0;

    step((struct host_event){ .kind = HOST_CONNECTED,
                              .uid = uids[pick(4)],
                              .vm = holder ? holder->serial : 0,
                              .ret_session = &session });
    f.sessions[i] = session;
}

static void leave(unsigned i)
{
    step((struct host_event){ .kind = HOST_DISCONNECTED, .session = f.sessions[i] });
    for (uint32_t t = 0; t < f.n_tickets; t++)
        if (f.tickets[t].session == f.sessions[i])
            f.tickets[t].left = true;
    f.sessions[i] = 0;
}

static void send_request(unsigned i, Bulkhead__HostEnvelope *e)
{
    struct host_event event = { .kind = HOST_REQUEST, .session = f.sessions[i], .request = e };
    const struct session *session = host_session(&f.host, f.sessions[i]);
    bool is_guest = session && session->holder != 0;
    unsigned n_vms = f.host.n_vms;
    Bulkhead__VmSpec *spec = NULL;

    if (f.n_tickets == MAX_TICKETS)
        return;
    e->id = f.n_tickets;
    f.tickets[f.n_tickets++].session = f.sessions[i];
    if (e->body_case == B(CREATE_VM) && e->create_vm->spec)
        spec = spec_copy(e->create_vm->spec);
    event.spec = &spec;
    step(event);
    CHECK(!is_guest || f.host.n_vms == n_vms);
    if (spec)
        bulkhead__vm_spec__free_unpacked(spec, NULL);
}

static void create(unsigned i)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm c = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &disk };

    config.name = T(names[pick(8)]);
    config.kernel = T(files[pick(4)]);
    disk.path = T(files[pick(4)]);
    disk.readonly = pick(2);
    config.disks = disks;
    config.n_disks = pick(2);
    spec.config = &config;
    if (strcmp(config.name, "c") == 0)
        hostd_give_rights(&spec);
    spec.autostart = pick(2);
    c.spec = pick(16) == 1 ? NULL : &spec;
    c.start = pick(2);
    e.body_case = B(CREATE_VM);
    e.create_vm = &c;
    send_request(i, &e);
}

/* Any request, with its VM, or bytes that may be one. */
static void ask(unsigned i)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT, *raw;
    Bulkhead__HaltVm halt = BULKHEAD__HALT_VM__INIT;
    Bulkhead__RemoveVm removal = BULKHEAD__REMOVE_VM__INIT;
    Bulkhead__OpenVm open = BULKHEAD__OPEN_VM__INIT;
    Bulkhead__StartVm start = BULKHEAD__START_VM__INIT;
    Bulkhead__RebootVm reboot = BULKHEAD__REBOOT_VM__INIT;
    Bulkhead__WaitVm wait = BULKHEAD__WAIT_VM__INIT;
    Bulkhead__InspectVm inspect = BULKHEAD__INSPECT_VM__INIT;
    Bulkhead__ListVms list = BULKHEAD__LIST_VMS__INIT;
    Bulkhead__ListTenants tenants = BULKHEAD__LIST_TENANTS__INIT;
    Bulkhead__GetHost info = BULKHEAD__GET_HOST__INIT;
    Bulkhead__AskDevice asked = BULKHEAD__ASK_DEVICE__INIT;
    Bulkhead__ReturnDevice returned = BULKHEAD__RETURN_DEVICE__INIT;
    size_t n;

    halt.vm = removal.vm = open.vm = start.vm = reboot.vm = wait.vm = inspect.vm = list.after =
        T(names[pick(8)]);
    halt.grace_ms = pick(3) * 1000u;
    removal.force = pick(2);
    open.channel = (Bulkhead__VmChannel)pick(5);
    switch (pick(12)) {
    case 0:
        e.body_case = B(HALT_VM);
        e.halt_vm = &halt;
        break;
    case 1:
        e.body_case = B(REMOVE_VM);
        e.remove_vm = &removal;
        break;
    case 2:
        e.body_case = B(OPEN_VM);
        e.open_vm = &open;
        break;
    case 3:
    case 4:
        e.body_case = B(START_VM);
        e.start_vm = &start;
        break;
    case 5:
        e.body_case = B(REBOOT_VM);
        e.reboot_vm = &reboot;
        break;
    case 6:
        e.body_case = B(WAIT_VM);
        e.wait_vm = &wait;
        break;
    case 7:
        e.body_case = B(INSPECT_VM);
        e.inspect_vm = &inspect;
        break;
    case 8:
        e.body_case = B(LIST_VMS);
        e.list_vms = &list;
        break;
    case 9:
        e.body_case = pick(2) ? B(LIST_TENANTS) : B(GET_HOST);
        if (i >= MAX_SESSIONS - 2) {
            e.body_case = e.body_case == B(GET_HOST) ? B(ASK_DEVICE) : B(RETURN_DEVICE);
            asked.device = returned.device = T("disk0");
            if (e.body_case == B(ASK_DEVICE))
                e.ask_device = &asked;
            else
                e.return_device = &returned;
        } else if (e.body_case == B(LIST_TENANTS))
            e.list_tenants = &tenants;
        else
            e.get_host = &info;
        break;
    default:
        n = pick(64);
        n = n < f.left ? n : f.left;
        raw = bulkhead__host_envelope__unpack(NULL, n, f.data);
        f.data += n;
        f.left -= n;
        if (raw) {
            send_request(i, raw);
            bulkhead__host_envelope__free_unpacked(raw, NULL);
        }
        return;
    }
    send_request(i, &e);
}

/* ---- the starter ---- */

static void answer(unsigned i, int error)
{
    struct host_event e = { .kind = HOST_REPORTED, .ask = f.asks[i].id };
    Bulkhead__HostConfig *config = NULL;

    if (f.asks[i].kind == ASK_TERMS && error == 0)
        config = hostd_tenants();
    e.config = &config;
    e.fault.error = error;
    snprintf(e.fault.text, sizeof e.fault.text, "%s", error ? "no" : "");
    e.n_fds = error == 0 && (f.asks[i].kind == ASK_CONNECT || f.asks[i].kind == ASK_LOGS);
    f.asks[i] = f.asks[--f.n_asks];
    step(e);
    if (config)
        bulkhead__host_config__free_unpacked(config, NULL);
}

static void answer_one(void)
{
    static const int errors[] = { 0, 0, 0, 0, ENOENT, ECONNREFUSED, EIO, EBUSY };
    int error = errors[pick(8)];
    unsigned i;

    if (f.n_asks == 0)
        return;
    i = pick(f.n_asks < 256 ? f.n_asks : 256);
    if (f.host.phase != HOST_OPEN && (f.asks[i].kind == ASK_TERMS || f.asks[i].kind == ASK_LOAD))
        error = 0;
    answer(i, error);
}

static void keep_one(void)
{
    Bulkhead__VmDetails d = BULKHEAD__VM_DETAILS__INIT, *kept = NULL;
    Bulkhead__VmStatus status = BULKHEAD__VM_STATUS__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT, *filled;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    const char *name = names[pick(8)];
    uint8_t bytes[4096];
    bool lives = pick(2);

    config.name = T(name);
    config.kernel = T(files[pick(2)]);
    spec.config = &config;
    spec.autostart = pick(2);
    filled = spec_copy(&spec);
    d.spec = filled;
    d.status = pick(4) == 1 ? NULL : &status;
    status.started_ns = pick(2);
    status.starts_again = pick(2);
    if (pick(4) != 1)
        kept = bulkhead__vm_details__unpack(NULL, bulkhead__vm_details__pack(&d, bytes), bytes);
    bulkhead__vm_spec__free_unpacked(filled, NULL);
    step((struct host_event){ .kind = HOST_KEPT,
                              .tenant = pick(2) ? "beta" : "ops",
                              .name = name,
                              .kept = &kept,
                              .lives = lives });
    if (kept)
        bulkhead__vm_details__free_unpacked(kept, NULL);
}

/* ---- VMs ---- */

static uint64_t said_by;

static void on_said(const Bulkhead__ClientEnvelope *said)
{
    step((struct host_event){ .kind = HOST_SAID, .vm = said_by, .said = said });
}

static void of_vm(void)
{
    const struct host_vm *vm = f.host.n_vms > 0 ? f.host.vms[pick(f.host.n_vms)] : NULL;
    struct host_event e = { 0 };

    if (!vm)
        return;
    e.vm = vm->serial;
    e.tenant = vm->tenant;
    e.name = vm->name;
    switch (pick(10)) {
    case 0:
        e.kind = HOST_BROKER_ENDED;
        break;
    case 1:
        e.kind = HOST_CONSOLE_ENDED;
        break;
    case 2:
        e.kind = HOST_LAUNCHER_GONE;
        break;
    case 3:
    case 4:
        e.kind = HOST_LAUNCHED;
        e.fault.error = pick(4) == 1 ? EIO : 0;
        break;
    case 5:
        if (f.linked[vm->serial % HOST_MAX_VMS] == 0)
            return;
        f.linked[vm->serial % HOST_MAX_VMS] = 0;
        e.kind = HOST_LINK_LOST;
        break;
    default:
        said_by = vm->serial;
        hostd_say(pick, files, on_said);
        return;
    }
    step(e);
}

static void happen(void)
{
    unsigned i = pick(MAX_SESSIONS);

    switch (pick(10)) {
    case 0:
    case 1:
        if (f.sessions[i] == 0)
            connect_one(i);
        else if (pick(8) == 1)
            leave(i);
        else
            create(i);
        break;
    case 2:
    case 3:
        if (f.sessions[i] != 0)
            ask(i);
        break;
    case 4:
    case 5:
    case 6:
        answer_one();
        break;
    case 7:
    case 8:
        of_vm();
        break;
    default:
        f.now += (uint64_t)pick(100) * 100000000u;
        step((struct host_event){ .kind = HOST_DEADLINE });
        break;
    }
}

static bool any_unanswered(void)
{
    for (uint32_t t = 0; t < f.n_tickets; t++)
        if (!f.tickets[t].left && f.tickets[t].answers == 0)
            return true;
    return false;
}

/* Nobody answers any more, and nobody dies: each who waits is told something all the same. */
static void end(void)
{
    for (unsigned i = 0; i < f.host.n_vms; i++)
        f.host.vms[i]->want_start = false;
    for (unsigned n = 0; n < MANY_DEADLINES && any_unanswered(); n++) {
        uint64_t at = host_next_deadline(&f.host);

        for (unsigned i = 0; i < f.host.n_vms; i++)
            if (f.host.vms[i]->life == LIFE_RUNNING)
                life_halt(&f.host, f.host.vms[i], 0);
        if (at == 0)
            at = f.now;
        f.now = at > f.now ? at : f.now;
        step((struct host_event){ .kind = HOST_DEADLINE });
    }
    for (uint32_t t = 0; t < f.n_tickets; t++)
        CHECK(f.tickets[t].left || f.tickets[t].answers == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned n;

    memset(&f, 0, sizeof f);
    f.data = data;
    f.left = size;
    f.now = UINT64_C(1000000000000);
    host_init(&f.host, "0", 0);
    f.host.booted_realtime = UINT64_C(1000);
    step((struct host_event){ .kind = HOST_BEGIN });
    answer(0, 0);
    for (n = pick(4); n > 0; n--)
        keep_one();
    answer(0, 0);
    for (n = 0; f.left > 0 && n < MAX_EVENTS; n++)
        happen();
    end();
    host_deinit(&f.host);
    return 0;
}
