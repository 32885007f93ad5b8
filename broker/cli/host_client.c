// SPDX-License-Identifier: Apache-2.0
// host_client.c - the command line's side of the host service's command socket.
#include "host_client.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/fd_file.h"
#include "guest_service.h"
#include "output.h"

enum { MAX_PAGES = 1024, AGAIN_MS = 50 };

static int connect_at(struct host *ret_host, const char *run_dir)
{
    /* With who takes nobody. */
    const struct timeval patience = { .tv_sec = HOST_TIMEOUT_MS / 1000 };
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    cleanup_(fd_closep) int fd = -1;
    int r;

    if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" HOSTDIR_SOCKET, run_dir) >=
        (int)sizeof(addr.sun_path))
        return err_origin(-ENAMETOOLONG, "the path of the service's socket, %s/" HOSTDIR_SOCKET,
                          run_dir);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_origin(-errno, "making a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED)
            return err_origin(-ECONNREFUSED, "no service runs here: start bulkhead-hostd, or use "
                                             "bulkhead run");
        return err_origin(-errno, "connecting to the host's service at %s", addr.sun_path);
    }
    *ret_host = (struct host){ 0 };
    snprintf(ret_host->run_dir, sizeof(ret_host->run_dir), "%s", run_dir);
    r = channel_new(&ret_host->channel, fd, CHANNEL_ARENA_CLIENT);
    if (r < 0)
        return r;
    fd_take(&fd);
    return 0;
}

static int connect_own(struct host *ret_host)
{
    char run_dir[HOSTDIR_PATH_BYTES];
    int r = hostdir_run(run_dir, sizeof(run_dir));

    return r < 0 ? err_origin(r, "the path of the service's socket")
                 : connect_at(ret_host, run_dir);
}

/* No descriptor ever comes there. */
static int connect_as_guest(struct host *ret_host, const char *where)
{
    int fd, r = guest_service_connect(where, &fd);

    if (r < 0)
        return err_trace(r);
    *ret_host = (struct host){ 0 };
    r = channel_new_stream(&ret_host->channel, fd, CHANNEL_ARENA_CLIENT);
    if (r < 0)
        close(fd);
    return r;
}

static int connect_any(struct host *ret_host)
{
    int r = connect_own(ret_host);

    /* A tenant of root's service is an ordinary user, who has none of his own. */
    if (r == -ECONNREFUSED && geteuid() != 0 && !getenv("BULKHEAD_HOST_RUN"))
        r = connect_at(ret_host, HOSTDIR_RUN);
    return r;
}

/* A service that was taken over has what its tenants send it, and could hold us up with that. */
static int without_fds(struct host *host, int r)
{
    if (r == 0)
        channel_refuse_fds(host->channel);
    return r;
}

int host_connect(struct host *ret_host)
{
    if (guest_service_where())
        return connect_as_guest(ret_host, guest_service_where());
    return without_fds(ret_host, connect_any(ret_host));
}

int host_connect_own(struct host *ret_host)
{
    return without_fds(ret_host, connect_own(ret_host));
}

void host_close(struct host *host)
{
    channel_end(&host->channel);
}

int host_connect_again(struct host *host)
{
    const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000 };
    int r = -ECONNREFUSED;

    host_close(host);
    for (unsigned i = 0; i < HOST_AWAY_MS / AGAIN_MS && r < 0; i++) {
        nanosleep(&pause, NULL); /* also of one that closes each connection at once */
        r = host_connect(host);
    }
    if (r < 0)
        return err_origin(-EPIPE, "the host's service has gone away");
    return 0;
}

int host_send(struct host *host, Bulkhead__HostEnvelope *request)
{
    int r;

    request->id = ++host->last_id;
    r = channel_send_raw(host->channel, &request->base, NULL, 0, true);
    if (r == -EPIPE || r == -ECONNRESET || r == -ESHUTDOWN)
        return err_origin(-EPIPE, "the host's service has closed the connection: ask again");
    return r < 0 ? err_trace(r) : 0;
}

int host_receive(struct host *host, int timeout_ms, struct host_answer *ret_answer)
{
    struct pollfd p = { .fd = channel_fd(host->channel), .events = POLLIN };
    ProtobufCMessage *msg = NULL;
    int r;

    do
        r = poll(&p, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return err_origin(-errno, "waiting for the host's service");
    if (r == 0)
        return err_origin(-ETIMEDOUT, "the host's service doesn't answer");
    r = channel_receive_raw(host->channel, true, &bulkhead__host_envelope__descriptor, &msg,
                            &ret_answer->fds, &ret_answer->n_fds);
    if (r == CHANNEL_CLOSED || r == CHANNEL_EMPTY || r == -ECONNRESET)
        return err_origin(-EPIPE, "the host's service has closed the connection: ask again");
    if (r == -EBADMSG || r == -EPROTO)
        return err_origin(-EREMOTEIO, "the host's service gave an answer that is none");
    if (r < 0)
        return err_trace(r);
    ret_answer->envelope = (const Bulkhead__HostEnvelope *)msg;
    return 0;
}

int host_call(struct host *host, Bulkhead__HostEnvelope *request, int timeout_ms,
              struct host_answer *ret_answer)
{
    const int64_t end = clock_ms(CLOCK_MONOTONIC) + timeout_ms;
    int r = host_send(host, request);

    while (r == 0) {
        int64_t left = end - clock_ms(CLOCK_MONOTONIC);

        r = host_receive(host, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0, ret_answer);
        if (r == 0 && ret_answer->envelope->id == request->id)
            return 0;
    }
    return err_trace(r);
}

int host_failed(int r)
{
    bool bad_input = r == -ENOENT || r == -ECONNREFUSED || r == -EREMOTE || r == -EKEYREJECTED ||
                     r == -ENAMETOOLONG || r == -EACCES || r == -EPERM;
    const char *text = err_text();
    const char *cause = strerror(-r);
    size_t len = strlen(text);

    if (r == -EMSGSIZE)
        return say_error(EXIT_BAD_INPUT,
                         "the request is longer than a message can be (%d bytes): use shorter "
                         "paths, or fewer devices",
                         CHANNEL_MAX_BYTES);
    /* What is said in full; the cause after it only puzzles. */
    if (r != -ENAMETOOLONG && r != -EACCES && r != -EPERM && len > strlen(cause) + 2 &&
        strcmp(text + len - strlen(cause), cause) == 0)
        len -= strlen(cause) + 2;
    return say_error(bad_input ? EXIT_BAD_INPUT : EXIT_HOST, "%.*s", (int)len, text);
}

int host_reply(const Bulkhead__HostReply *reply)
{
    if (reply->error == 0)
        return EXIT_OK;
    return say_error(reply->bad_input ? EXIT_BAD_INPUT : EXIT_HOST, "%s",
                     reply->text[0] ? reply->text : strerror(reply->error));
}

int host_expect(const struct host_answer *answer, Bulkhead__HostEnvelope__BodyCase want)
{
    int r = EXIT_OK;

    if (answer->envelope->body_case == BULKHEAD__HOST_ENVELOPE__BODY_REPLY)
        r = host_reply(answer->envelope->reply);
    if (r == EXIT_OK && answer->envelope->body_case != want)
        r = say_error(EXIT_HOST,
                      "the host's service gave an answer that doesn't fit the question: is all of "
                      "one release?");
    return r;
}

int host_ask(struct host *ret_host, Bulkhead__HostEnvelope *request, int timeout_ms,
             Bulkhead__HostEnvelope__BodyCase want, struct host_answer *ret_answer)
{
    int r = host_connect(ret_host);

    if (r < 0)
        return host_failed(r);
    r = host_call(ret_host, request, timeout_ms, ret_answer);
    r = r < 0 ? host_failed(r) : host_expect(ret_answer, want);
    if (r != EXIT_OK)
        host_close(ret_host);
    return r;
}

/* As an error of ours, with the service's words. */
static int refused(const struct host_answer *answer)
{
    if (answer->envelope->body_case == BULKHEAD__HOST_ENVELOPE__BODY_REPLY &&
        answer->envelope->reply->error != 0) {
        const Bulkhead__HostReply *reply = answer->envelope->reply;

        return err_origin(reply->error == ENOENT   ? -ENOENT
                          : reply->error == EACCES ? -EKEYREJECTED
                          : reply->bad_input       ? -EREMOTE
                                                   : -EREMOTEIO,
                          "%s", reply->text[0] ? reply->text : strerror(reply->error));
    }
    return err_origin(-EREMOTEIO, "the host's service gave an answer that doesn't fit the "
                                  "question: is all of one release?");
}

int host_tenant(struct host *host, char *dst, size_t size)
{
    Bulkhead__GetHost msg = BULKHEAD__GET_HOST__INIT;
    struct host_answer answer;
    int r;

    HOST_ENVELOPE(request, GET_HOST, get_host, &msg);
    r = host_call(host, &request, HOST_TIMEOUT_MS, &answer);
    if (r < 0)
        return r;
    if (answer.envelope->body_case != BULKHEAD__HOST_ENVELOPE__BODY_HOST_INFO)
        return refused(&answer);
    snprintf(dst, size, "%s", answer.envelope->host_info->tenant);
    return 0;
}

int host_each_vm(struct host *host, Bulkhead__KeyValue **labels, size_t n_labels, int timeout_ms,
                 bool (*fn)(void *arg, const Bulkhead__VmStatus *status), void *arg)
{
    Bulkhead__ListVms msg = BULKHEAD__LIST_VMS__INIT;
    char after[HOST_NAME_BYTES] = "";
    struct host_answer answer;
    bool more = true;

    HOST_ENVELOPE(request, LIST_VMS, list_vms, &msg);
    msg.labels = labels;
    msg.n_labels = n_labels;
    msg.after = after;
    for (unsigned page = 0; more && page < MAX_PAGES; page++) {
        const Bulkhead__VmList *list;
        int r = host_call(host, &request, timeout_ms, &answer);

        if (r < 0)
            return r;
        if (answer.envelope->body_case != BULKHEAD__HOST_ENVELOPE__BODY_VM_LIST)
            return refused(&answer);
        list = answer.envelope->vm_list;
        more = list->more && list->n_vms > 0;
        for (size_t i = 0; i < list->n_vms; i++) {
            const Bulkhead__VmStatus *s = list->vms[i];

            snprintf(after, sizeof(after), "%s/%s", s->tenant, s->name);
            if (!fn(arg, s))
                return 0;
        }
    }
    return 0;
}

/* Whoever reads from it is to wait for what comes there, and for nothing else. */
static bool is_as_agreed(int fd, Bulkhead__VmChannel channel)
{
    bool file = channel == BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG ||
                channel == BULKHEAD__VM_CHANNEL__VM_BROKER_LOG;
    int want = channel == BULKHEAD__VM_CHANNEL__VM_COMMAND ? SOCK_SEQPACKET : SOCK_STREAM, type = 0;
    socklen_t len = sizeof(type);
    struct fd_file is;

    if (file)
        return fd_file(fd, &is) == 0 && S_ISREG(is.mode);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == want;
}

static int take_fds(struct host_answer *answer, Bulkhead__VmChannel channel, int *ret_fds,
                    size_t max)
{
    if (answer->envelope->body_case != BULKHEAD__HOST_ENVELOPE__BODY_REPLY ||
        answer->envelope->reply->error != 0 || answer->n_fds < 1 || answer->n_fds > max)
        return refused(answer);
    for (size_t i = 0; i < answer->n_fds; i++)
        if (!is_as_agreed(answer->fds[i], channel))
            return refused(answer);
    for (size_t i = 0; i < answer->n_fds; i++) {
        ret_fds[i] = fd_take(&answer->fds[i]);
        (void)fcntl(ret_fds[i], F_SETFL, fcntl(ret_fds[i], F_GETFL) & ~O_NONBLOCK);
    }
    return (int)answer->n_fds;
}

static int open_channel(const char *vm, Bulkhead__VmChannel channel,
                        const ProtobufCBinaryData *note, int *ret_fds, size_t max)
{
    Bulkhead__OpenVm msg = BULKHEAD__OPEN_VM__INIT;
    char name[HOST_NAME_BYTES];
    struct host host = { 0 };
    struct host_answer answer;
    int r = guest_service_where()
                ? err_origin(-EREMOTE, "%s: that goes on the host alone", guest_service_where())
                : connect_any(&host);

    HOST_ENVELOPE(request, OPEN_VM, open_vm, &msg);
    snprintf(name, sizeof(name), "%s", vm);
    msg.vm = name;
    msg.channel = channel;
    if (note)
        msg.note = *note;
    if (r == 0)
        r = host_call(&host, &request, HOST_TIMEOUT_MS, &answer);
    if (r == 0)
        r = take_fds(&answer, channel, ret_fds, max);
    host_close(&host);
    return r;
}

int host_open_vm(const char *vm, Bulkhead__VmChannel channel, int *ret_fds, size_t max)
{
    return open_channel(vm, channel, NULL, ret_fds, max);
}

int host_allow_passt(const char *vm, const ProtobufCBinaryData *note, int *ret_fd)
{
    return open_channel(vm, BULKHEAD__VM_CHANNEL__VM_USER_NET, note, ret_fd, 1);
}

int host_find_rundir(const char *vm, char *dst, size_t size)
{
    Bulkhead__InspectVm msg = BULKHEAD__INSPECT_VM__INIT;
    char name[HOST_NAME_BYTES], whole[HOST_NAME_BYTES];
    struct host host = { 0 };
    struct host_answer answer;
    int r = host_connect(&host);

    HOST_ENVELOPE(request, INSPECT_VM, inspect_vm, &msg);
    snprintf(name, sizeof(name), "%s", vm);
    msg.vm = name;
    if (r == 0)
        r = host_call(&host, &request, HOST_TIMEOUT_MS, &answer);
    if (r == 0 && (answer.envelope->body_case != BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS ||
                   !answer.envelope->vm_details->status))
        r = refused(&answer);
    if (r == 0) {
        const Bulkhead__VmStatus *status = answer.envelope->vm_details->status;

        snprintf(whole, sizeof(whole), "%s/%s", status->tenant, status->name);
        /* What is done there is done to the VM that was named, whatever a service says that was taken over. */
        if (!host_is_name(whole) || !strchr(whole, '/') ||
            strcmp(strchr(vm, '/') ? whole : status->name, vm) != 0 ||
            snprintf(dst, size, "%s/" HOSTDIR_VMS "/%s", host.run_dir, whole) >= (int)size)
            r = err_origin(-ENAMETOOLONG, "the run directory of '%s'", vm);
    }
    host_close(&host);
    return r;
}

bool host_is_none(int r)
{
    return r == -ECONNREFUSED || r == -EKEYREJECTED;
}

bool host_is_name(const char *vm)
{
    const char *slash = strchr(vm, '/');
    char tenant[HOSTDIR_TENANT_BYTES];

    if (!slash)
        return hostdir_is_vm(vm);
    return snprintf(tenant, sizeof(tenant), "%.*s", (int)MIN(slash - vm, HOSTDIR_TENANT_BYTES),
                    vm) < HOSTDIR_TENANT_BYTES &&
           hostdir_is_tenant(tenant) && hostdir_is_vm(slash + 1);
}

int host_check_name(const char *vm)
{
    if (host_is_name(vm))
        return EXIT_OK;
    return say_error(EXIT_BAD_INPUT,
                     "'%.60s' is no VM's name: 1 to 48 letters, digits, '.', '_' or '-', perhaps "
                     "behind 'TENANT/'",
                     vm);
}
