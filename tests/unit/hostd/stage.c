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
#include "base/compiler.h"
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

static void create(struct stage *s, struct channel *client, const char *name, bool start,
                   Bulkhead__ControlRight *right)
{
    Bulkhead__VsockConfig vsock = BULKHEAD__VSOCK_CONFIG__INIT;
    Bulkhead__DiskConfig data = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &data };
    char id[] = "data", *on_request[] = { id };
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm create = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;

    config.name = T(name);
    config.kernel = T("/tmp/vmlinuz");
    vsock.enabled = right != NULL;
    vsock.cid = 3;
    vsock.socket = T("/tmp/vsock");
    config.vsock = &vsock;
    spec.config = &config;
    spec.control = right;
    data.id = id;
    data.path = T("/tmp/data");
    config.disks = disks;
    /* Without root t0 is the host's own tenant, whose VMs are given none. */
    config.n_disks = right != NULL && geteuid() == 0;
    spec.on_request = on_request;
    spec.n_on_request = config.n_disks;
    create.spec = &spec;
    create.start = start;
    e.body_case = BULKHEAD__HOST_ENVELOPE__BODY_CREATE_VM;
    e.create_vm = &create;
    stage_send(s, client, &e);
}

void stage_create(struct stage *s, struct channel *client, const char *name, bool start)
{
    create(s, client, name, start, NULL);
}

void stage_create_controller(struct stage *s, struct channel *client, const char *name)
{
    Bulkhead__ControlVerb verbs[] = { BULKHEAD__CONTROL_VERB__CONTROL_INFO };
    Bulkhead__ControlRight right = BULKHEAD__CONTROL_RIGHT__INIT;
    char web[] = "web", *vms[] = { web };

    right.verbs = verbs;
    right.n_verbs = ARRAY_SIZE(verbs);
    right.vms = vms;
    right.n_vms = ARRAY_SIZE(vms);
    create(s, client, name, true, &right);
}

struct channel *stage_run(struct stage *s, struct channel *client, const char *name)
{
    struct channel *launcher, *broker;
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    const Bulkhead__ClientEnvelope *heard;
    const Bulkhead__ClientEnvelope__BodyCase joining[] = {
        BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE,
        BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN,
        BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES,
    };
    ProtobufCMessage *msg = NULL;
    int pair[2], *fds, launcher_fd;
    size_t n_fds;

    stage_asked(s, STARTER_SAVE);
    stage_done(s, 0, NULL, 0);
    stage_asked(s, STARTER_START);
    assert_true(s->fd >= 0);
    assert_string_equal(s->request.vm, name);
    launcher_fd = fd_take(&s->fd);
    stage_done(s, 0, NULL, 0);
    assert_int_equal(channel_new(&launcher, launcher_fd, CHANNEL_ARENA_CLIENT), 0);
    assert_int_equal(channel_receive_raw(launcher, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     0);
    heard = (const Bulkhead__ClientEnvelope *)msg;
    assert_int_equal(heard->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_RUN_VM);
    assert_string_equal(heard->run_vm->config->name, name);
    assert_int_equal(heard->run_vm->config->n_disks, 0); /* that it may ask for isn't there */
    stage_asked(s, STARTER_SAVE);                        /* that it was started */
    stage_done(s, 0, NULL, 0);
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY;
    e.reply = &reply;
    assert_int_equal(channel_send_raw(launcher, &e.base, NULL, 0, true), 0);
    stage_asked(s, STARTER_CONNECT);
    assert_int_equal(s->request.channel, STARTER_CHANNEL_COMMAND);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    stage_done(s, 0, pair, 1);
    close(pair[0]);
    assert_int_equal(channel_new(&broker, pair[1], CHANNEL_ARENA_CLIENT), 0);
    for (unsigned i = 0; i < 3; i++) { /* the plan says which files it has: for claims */
        assert_int_equal(channel_receive_raw(broker, true, &bulkhead__client_envelope__descriptor,
                                             &msg, &fds, &n_fds),
                         0);
        assert_int_equal(((const Bulkhead__ClientEnvelope *)msg)->body_case, joining[i]);
    }
    list.state = T("running");
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST;
    e.process_list = &list;
    assert_int_equal(channel_send_raw(broker, &e.base, NULL, 0, true), 0);
    assert_int_equal(stage_hear(client, NULL, NULL)->reply->error, 0);
    /* it has what it needs of the launcher when it lets go of that */
    assert_int_equal(channel_receive_raw(launcher, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     CHANNEL_CLOSED);
    channel_free(launcher);
    return broker;
}
