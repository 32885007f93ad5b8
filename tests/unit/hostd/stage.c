/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - see stage.h. */
#include "stage.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "hostd/run/hostd.h"
#include "sandbox/gen/filter_hostd.h"

#define T(text) ((char *)(uintptr_t)(text))
enum { TENANTS = 5, HANG_MS = 20000 };

static int listen_at(const char *path, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(chmod(path, 0777), 0);
    if (type == SOCK_SEQPACKET)
        assert_int_equal(listen(fd, 128), 0);
    return fd;
}

void stage_start(struct stage *s, uint32_t requests_per_s)
{
    struct hostd_terms terms = { .filter = &sandbox_filter_hostd };
    char notify[108];
    int pair[2];

    (void)requests_per_s;
    memset(s, 0, sizeof *s);
    s->fd = -1;
    snprintf(s->dir, sizeof s->dir, "/tmp/bulkhead-hostd.XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_int_equal(chmod(s->dir, 0755), 0);
    snprintf(s->socket, sizeof s->socket, "%s/host.sock", s->dir);
    snprintf(notify, sizeof notify, "%s/notify", s->dir);
    s->notify = listen_at(notify, SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", notify, 1);
    terms.listen_fd = listen_at(s->socket, SOCK_SEQPACKET);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    if (geteuid() == 0)
        terms.uid = STAGE_HOSTD_UID;
    fflush(NULL);
    s->hostd = fork();
    assert_true(s->hostd >= 0);
    if (s->hostd == 0) {
        close(pair[0]);
        assert_int_equal(fd_set_nonblock(pair[1]), 0);
        terms.starter_fd = pair[1];
        _exit(hostd_run(&terms));
    }
    close(pair[1]);
    close(terms.listen_fd);
    s->starter = pair[0];
}

static void wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, HANG_MS) != 1)
        fail_msg("nothing comes");
}

void stage_asked(struct stage *s, enum starter_request_kind kind)
{
    struct iovec iov[2] = { { &s->request, sizeof s->request }, { s->bytes, sizeof s->bytes } };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = { .msg_iov = iov,
                          .msg_iovlen = 2,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    ssize_t n;

    fd_closep(&s->fd);
    s->fd = -1;
    wait_readable(s->starter);
    n = recvmsg(s->starter, &msg, MSG_CMSG_CLOEXEC);
    assert_true(n >= (ssize_t)sizeof s->request);
    assert_int_equal(s->request.len, n - (ssize_t)sizeof s->request);
    if (CMSG_FIRSTHDR(&msg))
        memcpy(&s->fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof s->fd);
    assert_int_equal(s->request.kind, kind);
}

void stage_report(struct stage *s, struct starter_report *report, const void *bytes, size_t len,
                  const int *fds, size_t n_fds)
{
    static uint8_t datagram[sizeof *report + STARTER_MAX_BYTES];

    report->len = (uint32_t)len;
    memcpy(datagram, report, sizeof *report);
    if (len > 0)
        memcpy(datagram + sizeof *report, bytes, len);
    assert_int_equal(fd_send(s->starter, datagram, sizeof *report + len, fds, n_fds, 0), 0);
}

void stage_done(struct stage *s, int error, const int *fds, size_t n_fds)
{
    struct starter_report report = { .kind = STARTER_DONE, .id = s->request.id, .error = error };

    snprintf(report.text, sizeof report.text, "%s", error ? "the starter's word" : "");
    stage_report(s, &report, NULL, 0, fds, n_fds);
}

static void tell_terms(struct stage *s, uint32_t requests_per_s)
{
    static uint32_t uids[TENANTS];
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT, one = BULKHEAD__TENANT_QUOTA__INIT;
    Bulkhead__Tenant tenants[TENANTS], *pointers[TENANTS];
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT;
    struct starter_report piece = { .kind = STARTER_PIECE, .id = s->request.id };
    char names[TENANTS][8], tree[] = "/tmp", *trees[] = { tree };
    uint8_t bytes[1024];
    size_t len;

    config.tenants = pointers;
    config.n_tenants = TENANTS;
    quota.requests_per_s = requests_per_s;
    quota.devices = STAGE_DEVICES;
    for (unsigned i = 0; i < TENANTS; i++) {
        bulkhead__tenant__init(&tenants[i]);
        snprintf(names[i], sizeof names[i], "t%u", i);
        uids[i] = (geteuid() == 0 ? i == TENANTS - 1 : i == 0) ? (uint32_t)geteuid() : 1000000 + i;
        tenants[i].name = names[i];
        tenants[i].uids = &uids[i];
        tenants[i].n_uids = 1;
        tenants[i].trees = trees;
        tenants[i].n_trees = 1;
        tenants[i].host = uids[i] == geteuid();
        pointers[i] = &tenants[i];
    }
    one.vms = 1;
    tenants[0].quota = &quota;
    tenants[3].quota = &one;
    len = bulkhead__host_config__pack(&config, bytes);
    stage_report(s, &piece, bytes, len / 2, NULL, 0); /* it may come in pieces */
    stage_report(s, &piece, bytes + len / 2, len - len / 2, NULL, 0);
    stage_done(s, 0, NULL, 0);
}

void stage_open(struct stage *s)
{
    char text[64];
    ssize_t n;

    wait_readable(s->notify);
    n = recv(s->notify, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "READY=1");
}

void stage_begin(struct stage *s, uint32_t requests_per_s)
{
    stage_start(s, requests_per_s);
    stage_asked(s, STARTER_TERMS);
    tell_terms(s, requests_per_s);
    stage_asked(s, STARTER_LOAD);
    stage_done(s, 0, NULL, 0);
    stage_open(s);
}

void stage_end(struct stage *s)
{
    int status = 0;
    char path[128];

    shutdown(s->starter, SHUT_WR);
    assert_int_equal(waitpid(s->hostd, &status, 0), s->hostd);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("hostd ended with status %x", status);
    fd_closep(&s->starter);
    fd_closep(&s->fd);
    fd_closep(&s->notify);
    unlink(s->socket);
    snprintf(path, sizeof path, "%s/notify", s->dir);
    unlink(path);
    assert_int_equal(rmdir(s->dir), 0);
}

/* ---- clients ---- */

struct channel *stage_connect(struct stage *s, uid_t uid)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct channel *channel = NULL;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", s->socket);
    assert_true(fd >= 0);
    if (uid != geteuid()) /* of this thread alone, for the time of the call */
        assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
    r = connect(fd, (const struct sockaddr *)&address, sizeof address);
    if (geteuid() != getuid())
        assert_int_equal(syscall(SYS_setresuid, -1, getuid(), -1), 0);
    assert_int_equal(r, 0);
    assert_int_equal(channel_new(&channel, fd, CHANNEL_ARENA_CLIENT), 0);
    return channel;
}

void stage_send(struct stage *s, struct channel *client, Bulkhead__HostEnvelope *e)
{
    e->id = ++s->next;
    assert_int_equal(channel_send_raw(client, &e->base, NULL, 0, true), 0);
}

const Bulkhead__HostEnvelope *stage_hear(struct channel *client, int **ret_fds, size_t *ret_n_fds)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL, r;

    wait_readable(channel_fd(client));
    r = channel_receive_raw(client, true, &bulkhead__host_envelope__descriptor, &msg, &fds, &n_fds);
    if (ret_fds) {
        *ret_fds = fds;
        *ret_n_fds = n_fds;
    }
    return r == 0 ? (const Bulkhead__HostEnvelope *)msg : NULL;
}

const Bulkhead__HostEnvelope *stage_ask(struct stage *s, struct channel *client,
                                        Bulkhead__HostEnvelope__BodyCase body, const char *vm)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
        &bulkhead__host_envelope__descriptor, (unsigned)body);
    const ProtobufCFieldDescriptor *name =
        protobuf_c_message_descriptor_get_field_by_name(field->descriptor, "vm");
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    char *message =
        calloc(1, field->descriptor == NULL
                      ? 1
                      : ((const ProtobufCMessageDescriptor *)field->descriptor)->sizeof_message);

    ((const ProtobufCMessageDescriptor *)field->descriptor)
        ->message_init((ProtobufCMessage *)(void *)message);
    if (vm && name)
        memcpy(message + name->offset, &vm, sizeof vm);
    e.body_case = body;
    memcpy((char *)&e + field->offset, &message, sizeof message);
    stage_send(s, client, &e);
    free(message);
    return stage_hear(client, NULL, NULL);
}

void stage_create(struct stage *s, struct channel *client, const char *name, bool start)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm create = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;

    config.name = T(name);
    config.kernel = T("/tmp/vmlinuz");
    spec.config = &config;
    create.spec = &spec;
    create.start = start;
    e.body_case = BULKHEAD__HOST_ENVELOPE__BODY_CREATE_VM;
    e.create_vm = &create;
    stage_send(s, client, &e);
}
