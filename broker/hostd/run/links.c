/* SPDX-License-Identifier: Apache-2.0 */
/* links.c - see links.h. A broker may have been taken over, and a launcher is a tenant's: none of them hands anything over,
 * what is closed of theirs the closer closes, and nobody waits for them. */
#include "hostd/run/links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/envelope.h"
#include "config/config.h"
#include "hostd/rules/brokers.h"
#include "hostd/rules/devices.h"
#include "hostd/run/closer.h"
#include "ipc/channel.h"

enum { MESSAGES_PER_TURN = 8 };

struct link {
    struct service *s;
    uint64_t vm;    /* 0: free */
    uint64_t whose; /* to the closer: its tenant's */
    bool is_launch;
    struct channel *channel;
    struct loop_event *event;
};

struct links {
    struct link brokers[HOST_MAX_VMS], launchers[HOST_MAX_VMS]; /* by serial */
};

static struct link *find(struct service *s, bool is_launch, uint64_t vm)
{
    struct link *of = is_launch ? s->links->launchers : s->links->brokers;

    return &of[vm % HOST_MAX_VMS];
}

static void close_link(struct link *link)
{
    int fd;

    if (link->vm == 0)
        return;
    fd = channel_fd(link->channel);
    if (link->event)
        loop_event_free(link->event);
    channel_free(link->channel); /* which leaves the descriptor open */
    (void)closer_close(link->s->closer, link->whose, 0, fd);
    *link = (struct link){ 0 };
}

static void lost(struct link *link)
{
    struct host_event e = { .kind = link->is_launch ? HOST_LAUNCHER_GONE : HOST_LINK_LOST };
    struct service *s = link->s;

    e.vm = link->vm;
    close_link(link);
    s->happen(s, &e);
}

static void heard(struct link *link, const Bulkhead__ClientEnvelope *said)
{
    struct service *s = link->s;
    struct host_event e = { .kind = HOST_SAID, .vm = link->vm, .said = said };

    if (link->is_launch && said->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY) {
        e.kind = HOST_LAUNCHED;
        e.fault.error = (int)said->reply->error;
        e.fault.bad_input = said->reply->bad_input;
        snprintf(e.fault.text, sizeof e.fault.text, "%s", said->reply->text);
    }
    s->happen(s, &e);
    if (link->vm != 0 && said->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN)
        channel_trim(link->channel); /* it is large, and seldom comes */
}

static void on_readable(int fd, unsigned what, void *arg)
{
    struct link *link = arg;
    uint64_t vm = link->vm;

    (void)fd;
    (void)what;
    for (unsigned turn = 0; turn < MESSAGES_PER_TURN && link->vm == vm; turn++) {
        ProtobufCMessage *msg = NULL;
        size_t n_fds = 0;
        int *fds = NULL;
        int r = channel_receive_raw(link->channel, false, &bulkhead__client_envelope__descriptor,
                                    &msg, &fds, &n_fds);

        if (r == CHANNEL_EMPTY)
            return;
        if (r != 0) {
            lost(link);
            return;
        }
        heard(link, (const Bulkhead__ClientEnvelope *)msg);
    }
}

/* Takes fd over, also if it fails. */
static int open_link(struct service *s, bool is_launch, uint64_t vm, int fd, size_t arena)
{
    struct link *link = find(s, is_launch, vm);
    const struct host_vm *of = host_vm(&s->host, vm);
    int r;

    close_link(link);
    r = channel_new(&link->channel, fd, arena);
    if (r < 0) {
        close(fd); /* nobody has said anything there */
        return err_trace(r);
    }
    channel_refuse_fds(link->channel);
    link->s = s;
    link->vm = vm;
    link->whose = closer_of_tenant(of ? of->tenant : "");
    link->is_launch = is_launch;
    r = loop_add_fd(s->loop, fd, LOOP_READ, on_readable, link, &link->event);
    if (r < 0)
        close_link(link);
    return r < 0 ? err_trace(r) : 0;
}

static int ask_launcher(struct channel *channel, const struct host_vm *vm)
{
    Bulkhead__AddDevice add = BULKHEAD__ADD_DEVICE__INIT;
    Bulkhead__RunVm run = BULKHEAD__RUN_VM__INIT;
    CLIENT_ENVELOPE(e, RUN_VM, run_vm, &run);
    Bulkhead__VmConfig one;
    int r;

    e.id = 1;
    if (vm->moving == MOVING_THERE && devices_find(vm->spec, vm->device, &one)) {
        add.device = &one;
        e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE;
        e.add_device = &add;
        return channel_send_raw(channel, &e.base, NULL, 0, false);
    }
    run.config = devices_at_start(vm->spec);
    if (!run.config)
        return err_origin(-ENOMEM, "the VM's configuration");
    r = channel_send_raw(channel, &e.base, NULL, 0, false);
    config_free(run.config);
    return r;
}

int links_launch(struct service *s, const struct host_vm *vm)
{
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_origin(-errno, "a channel for the launcher");
    r = open_link(s, true, vm->serial, pair[0], CHANNEL_ARENA_CLIENT);
    if (r == 0)
        r = ask_launcher(find(s, true, vm->serial)->channel, vm);
    if (r < 0) {
        close(pair[1]);
        return err_trace(r);
    }
    return pair[1];
}

void links_drop_launch(struct service *s, uint64_t vm)
{
    if (find(s, true, vm)->vm == vm)
        close_link(find(s, true, vm));
}

/* device: of RemoveDevice. */
static int tell(struct channel *channel, Bulkhead__ClientEnvelope__BodyCase body,
                const char *device)
{
    Bulkhead__RemoveDevice removal = BULKHEAD__REMOVE_DEVICE__INIT;
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Subscribe subscribe = BULKHEAD__SUBSCRIBE__INIT;
    Bulkhead__GetPlan plan = BULKHEAD__GET_PLAN__INIT;
    Bulkhead__ListProcesses list = BULKHEAD__LIST_PROCESSES__INIT;
    Bulkhead__PressPowerButton button = BULKHEAD__PRESS_POWER_BUTTON__INIT;
    Bulkhead__StopVm stop = BULKHEAD__STOP_VM__INIT;

    e.body_case = body;
    switch ((int)body) {
    case BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE:
        e.id = BROKERS_SUBSCRIBE;
        e.subscribe = &subscribe;
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN:
        e.id = BROKERS_PLAN;
        e.get_plan = &plan;
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES:
        e.id = BROKERS_LIST;
        e.list_processes = &list;
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_PRESS_POWER_BUTTON:
        e.id = BROKERS_BUTTON;
        e.press_power_button = &button;
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM:
        e.id = BROKERS_STOP;
        e.stop_vm = &stop;
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_REMOVE_DEVICE:
        e.id = BROKERS_REMOVE;
        removal.device = (char *)(uintptr_t)device; /* protobuf-c has no const; it only reads */
        e.remove_device = &removal;
        break;
    default:
        return err_origin(-EINVAL, "message %d to a broker", (int)body);
    }
    return channel_send_raw(channel, &e.base, NULL, 0, false);
}

int links_join(struct service *s, uint64_t vm, int fd)
{
    struct link *link = find(s, false, vm);
    int r = open_link(s, false, vm, fd, CHANNEL_ARENA_CLIENT);

    if (r == 0)
        r = tell(link->channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE, "");
    if (r == 0)
        r = tell(link->channel, BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN, "");
    if (r == 0)
        r = tell(link->channel, BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES, "");
    if (r < 0)
        close_link(link);
    return r < 0 ? err_trace(r) : 0;
}

void links_drop(struct service *s, uint64_t vm)
{
    if (find(s, false, vm)->vm == vm)
        close_link(find(s, false, vm));
}

bool links_tell(struct service *s, uint64_t vm, Bulkhead__ClientEnvelope__BodyCase body)
{
    struct link *link = find(s, false, vm);
    const struct host_vm *of = host_vm(&s->host, vm);

    if (link->vm != vm)
        return false;
    if (tell(link->channel, body, of ? of->device : "") == 0)
        return true;
    close_link(link);
    return false;
}

int links_give_line(struct service *s, uint64_t vm, int fd)
{
    const struct link *link = find(s, false, vm);
    Bulkhead__ServiceLine line = BULKHEAD__SERVICE_LINE__INIT;
    CLIENT_ENVELOPE(e, SERVICE_LINE, service_line, &line);

    return link->vm == vm ? channel_send_raw(link->channel, &e.base, &fd, 1, false)
                          : err_origin(-ENOTCONN, "no session with the VM's broker");
}

int links_limit(struct service *s, int fd, const struct session_limits *limits)
{
    Bulkhead__LimitSession limit = BULKHEAD__LIMIT_SESSION__INIT;
    CLIENT_ENVELOPE(e, LIMIT_SESSION, limit_session, &limit);
    uint8_t bytes[64];
    size_t len;

    (void)s;
    limit.no_programs = limits->no_programs;
    limit.max_devices = limits->max_devices;
    limit.no_user_net = limits->no_user_net;
    len = bulkhead__client_envelope__get_packed_size(&e);
    if (len > sizeof bytes)
        return err_origin(-EMSGSIZE, "the limits of a session");
    bulkhead__client_envelope__pack(&e, bytes);
    return fd_send(fd, bytes, len, NULL, 0, MSG_DONTWAIT);
}

int links_new(struct service *s)
{
    s->links = calloc(1, sizeof *s->links);
    return s->links ? 0 : err_origin(-ENOMEM, "links to VMs");
}

void links_free(struct service *s)
{
    if (!s->links)
        return;
    for (unsigned i = 0; i < HOST_MAX_VMS; i++) {
        close_link(&s->links->brokers[i]);
        close_link(&s->links->launchers[i]);
    }
    free(s->links);
    s->links = NULL;
}
