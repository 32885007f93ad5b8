// SPDX-License-Identifier: Apache-2.0
// fake_fleet.c - see fake_fleet.h.
#include "fake_fleet.h"
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define STATE(name) BULKHEAD__HOST_VM_STATE__HOST_VM_##name

void fake_fleet_begin(struct fake_fleet *fleet, struct fake_host *host)
{
    *fleet = (struct fake_fleet){ .host = host };
}

void fake_fleet_end(struct fake_fleet *fleet)
{
    for (size_t i = 0; i < fleet->n; i++) {
        free(fleet->vms[i].spec);
        if (fleet->vms[i].attached >= 0)
            close(fleet->vms[i].attached);
    }
    for (size_t i = 0; i < FLEET_CHANNELS; i++)
        channel_freep(&fleet->channels[i]);
}

struct fake_vm *fake_fleet_vm(struct fake_fleet *fleet, const char *name)
{
    struct fake_vm *vm;

    for (size_t i = 0; i < fleet->n; i++)
        if (strcmp(fleet->vms[i].name, name) == 0)
            return &fleet->vms[i];
    assert_true(fleet->n < FLEET_VMS);
    vm = &fleet->vms[fleet->n++];
    snprintf(vm->name, sizeof(vm->name), "%s", name);
    vm->attached = -1;
    return vm;
}

/* ---- answers ---- */

static void asked(struct fake_fleet *fleet, const char *what, const char *name)
{
    size_t n = strlen(fleet->asked);

    snprintf(fleet->asked + n, sizeof(fleet->asked) - n, "%s %s\n", what, name);
}

static void no_such_vm(struct channel *c, uint32_t id)
{
    fake_host_reply(c, id, ENOENT, true, "there is no such VM");
}

static void answer_details(struct channel *c, uint32_t id, const struct fake_vm *vm)
{
    Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__VmDetails details = BULKHEAD__VM_DETAILS__INIT;
    Bulkhead__VmStatus status = BULKHEAD__VM_STATUS__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;

    status.state = vm->state;
    status.started_ns = vm->started_ns;
    ended.state = BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT;
    if (vm->state == STATE(STOPPED))
        status.how_ended = &ended;
    details.status = &status;
    details.spec = bulkhead__vm_spec__unpack(NULL, vm->spec_len, vm->spec);
    answer.id = id;
    answer.body_case = BODY(VM_DETAILS);
    answer.vm_details = &details;
    fake_host_send(c, &answer, NULL, 0);
    bulkhead__vm_spec__free_unpacked(details.spec, NULL);
}

static void start(struct fake_vm *vm)
{
    vm->there = true;
    vm->state = STATE(RUNNING);
    vm->started_ns = (uint64_t)time(NULL) * 1000000000u;
}

/* Answers a create, start or halt. */
static void settle(struct channel *c, uint32_t id, struct fake_vm *vm, bool halt)
{
    if (vm->fails) {
        fake_host_reply(c, id, EIO, false, vm->fails);
        return;
    }
    if (halt)
        vm->state = STATE(STOPPED);
    else
        start(vm);
    fake_host_reply(c, id, 0, false, "");
}

static void settle_or_hold(struct fake_fleet *fleet, struct channel *c, uint32_t id,
                           struct fake_vm *vm, bool halt)
{
    if (!vm->held) {
        settle(c, id, vm, halt);
        return;
    }
    vm->held_id = id;
    fleet->main = c;
    fleet->n_held++;
    if (fleet->n_held > fleet->most_held)
        fleet->most_held = fleet->n_held;
}

void fake_fleet_release(struct fake_fleet *fleet, const char *name)
{
    struct fake_vm *vm = fake_fleet_vm(fleet, name);
    uint32_t id = vm->held_id;

    assert_int_not_equal(id, 0);
    vm->held_id = 0;
    vm->held = false;
    fleet->n_held--;
    settle(fleet->main, id, vm, vm->there && vm->state == STATE(RUNNING));
}

/* The name without its tenant is kept, and what was left out is filled in, as the service does it. */
static void on_create(struct fake_fleet *fleet, struct channel *c, const Bulkhead__HostEnvelope *e)
{
    Bulkhead__VmSpec *spec = e->create_vm->spec;
    struct fake_vm *vm = fake_fleet_vm(fleet, spec->config->name);
    char *slash = strchr(spec->config->name, '/');

    asked(fleet, "create", vm->name);
    assert_true(e->create_vm->start);
    assert_false(vm->there);
    if (slash)
        memmove(spec->config->name, slash + 1, strlen(slash));
    spec->config->crash_limit = spec->config->crash_limit ? spec->config->crash_limit : 5;
    free(vm->spec);
    vm->spec_len = bulkhead__vm_spec__get_packed_size(spec);
    vm->spec = malloc(vm->spec_len + 1);
    bulkhead__vm_spec__pack(spec, vm->spec);
    settle_or_hold(fleet, c, e->id, vm, false);
}

static int log_file(const char *text)
{
    int fd = memfd_create("log", MFD_CLOEXEC);

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static void on_open(struct fake_fleet *fleet, struct channel *c, const Bulkhead__HostEnvelope *e)
{
    struct fake_vm *vm = fake_fleet_vm(fleet, e->open_vm->vm);
    bool is_log = e->open_vm->channel == BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG;
    int fds[2] = { -1, -1 };

    asked(fleet, is_log ? "log" : "console", vm->name);
    if (is_log ? !vm->log : !vm->console) {
        fake_host_reply(c, e->id, EAGAIN, false, "not yet");
        return;
    }
    if (is_log) {
        fds[0] = log_file("x");
        fds[1] = log_file(vm->log);
    } else {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        if (vm->attached >= 0)
            close(vm->attached);
        vm->attached = fds[1];
        assert_int_equal(write(vm->attached, vm->console, strlen(vm->console)),
                         (ssize_t)strlen(vm->console));
    }
    fake_host_reply_with(c, e->id, fds, is_log ? 2 : 1);
    close(fds[0]);
    if (is_log)
        close(fds[1]);
}

static void on_named(struct fake_fleet *fleet, struct channel *c, const Bulkhead__HostEnvelope *e)
{
    struct fake_vm *vm;

    switch ((int)e->body_case) {
    case BODY(INSPECT_VM):
        vm = fake_fleet_vm(fleet, e->inspect_vm->vm);
        if (vm->there)
            answer_details(c, e->id, vm);
        else
            no_such_vm(c, e->id);
        break;
    case BODY(START_VM):
        vm = fake_fleet_vm(fleet, e->start_vm->vm);
        asked(fleet, "start", vm->name);
        settle_or_hold(fleet, c, e->id, vm, false);
        break;
    case BODY(HALT_VM):
        vm = fake_fleet_vm(fleet, e->halt_vm->vm);
        asked(fleet, e->halt_vm->grace_ms ? "halt" : "kill", vm->name);
        settle_or_hold(fleet, c, e->id, vm, true);
        break;
    case BODY(WAIT_VM):
        vm = fake_fleet_vm(fleet, e->wait_vm->vm);
        asked(fleet, "wait", vm->name);
        vm->state = STATE(STOPPED);
        answer_details(c, e->id, vm);
        break;
    case BODY(REMOVE_VM):
        vm = fake_fleet_vm(fleet, e->remove_vm->vm);
        asked(fleet, e->remove_vm->force ? "remove by force" : "remove", vm->name);
        vm->there = false;
        fake_host_reply(c, e->id, 0, false, "");
        break;
    default:
        fail_msg("request %d", (int)e->body_case);
    }
}

static void tell_tenant(struct channel *c, const Bulkhead__HostEnvelope *e)
{
    Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__HostInfo info = BULKHEAD__HOST_INFO__INIT;
    char name[] = "acme";

    info.tenant = name;
    answer.id = e->id;
    answer.body_case = BODY(HOST_INFO);
    answer.host_info = &info;
    fake_host_send(c, &answer, NULL, 0);
}

/* False: it was closed. */
static bool serve_one(struct fake_fleet *fleet, struct channel *c)
{
    const Bulkhead__HostEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds;

    if (channel_receive_raw(c, true, &bulkhead__host_envelope__descriptor, &msg, &fds, &n_fds) != 0)
        return false;
    e = (const Bulkhead__HostEnvelope *)msg;
    if (e->body_case == BODY(GET_HOST))
        tell_tenant(c, e);
    else if (e->body_case == BODY(CREATE_VM))
        on_create(fleet, c, e);
    else if (e->body_case == BODY(OPEN_VM))
        on_open(fleet, c, e);
    else
        on_named(fleet, c, e);
    return true;
}

/* ---- serving ---- */

static void accept_one(struct fake_fleet *fleet)
{
    for (size_t i = 0; i < FLEET_CHANNELS; i++)
        if (!fleet->channels[i]) {
            fleet->channels[i] = fake_host_accept(fleet->host);
            return;
        }
    fail_msg("too many connections");
}

/* False: the program has ended. */
static bool serve_a_while(struct fake_fleet *fleet)
{
    struct fake_host *f = fleet->host;
    struct pollfd p[2 + FLEET_CHANNELS] = { { .fd = f->listener, .events = POLLIN },
                                            { .fd = f->out, .events = POLLIN } };
    size_t n = strlen(f->text);
    ssize_t got;

    for (size_t i = 0; i < FLEET_CHANNELS; i++)
        p[2 + i] = (struct pollfd){ .fd = fleet->channels[i] ? channel_fd(fleet->channels[i]) : -1,
                                    .events = POLLIN };
    if (poll(p, ARRAY_SIZE(p), FAKE_TIMEOUT_MS) <= 0)
        fail_msg("nothing happens any more; '%s', asked for '%s'", f->text, fleet->asked);
    for (size_t i = 0; i < FLEET_CHANNELS; i++)
        if (p[2 + i].revents && !serve_one(fleet, fleet->channels[i]))
            channel_freep(&fleet->channels[i]);
    if (p[0].revents)
        accept_one(fleet);
    if (!p[1].revents)
        return true;
    got = read(f->out, f->text + n, sizeof(f->text) - 1 - n);
    if (got > 0)
        f->text[n + (size_t)got] = '\0';
    return got > 0;
}

int fake_fleet_serve(struct fake_fleet *fleet, const char *text)
{
    while (!text || !strstr(fleet->host->text, text))
        if (!serve_a_while(fleet)) {
            if (text)
                fail_msg("the program ended without '%s': '%s'", text, fleet->host->text);
            return fake_host_finish(fleet->host);
        }
    return 0;
}

void fake_fleet_serve_asked(struct fake_fleet *fleet, const char *text)
{
    while (!strstr(fleet->asked, text))
        if (!serve_a_while(fleet))
            fail_msg("the program ended and never asked for '%s': '%s', '%s'", text,
                     fleet->host->text, fleet->asked);
}

void fake_fleet_write(struct fake_fleet *fleet, const char *name, const char *text)
{
    int fd = fake_fleet_vm(fleet, name)->attached;

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

void fake_fleet_crash(struct fake_fleet *fleet, const char *name)
{
    struct fake_vm *vm = fake_fleet_vm(fleet, name);

    vm->state = STATE(STOPPED);
    vm->console = NULL;
    if (vm->attached >= 0)
        close(vm->attached);
    vm->attached = -1;
}
