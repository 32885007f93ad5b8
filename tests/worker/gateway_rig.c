/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_rig.c - see gateway_rig.h. */
#include "gateway_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/err.h"
#include "client/envelope.h"
#include "client/gateway.h"
#include "sandbox/ids.h"
#include "sandbox/namespaces.h"
#include "sandbox/spawn.h"
#include "temp_dir.h"
#include <cmocka.h>

/* ---- its life ---- */

static void spawn(struct gateway_rig *rig, int starter_fd)
{
    const char *bin = getenv("BULKHEAD_BIN");
    char program[4096];
    char *const argv[] = { program, NULL };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[GATEWAY_FDS] = { null, null, STDERR_FILENO, starter_fd, rig->listen_fd };
    struct sandbox_spawn order = {
        .program = program, .argv = argv, .fds = fds, .n_fds = GATEWAY_FDS, .cgroup_fd = -1
    };
    unsigned missing = 0;

    snprintf(program, sizeof program, "%s/bulkhead-gateway", bin ? bin : "build/release/bin");
    if (geteuid() == 0 && sandbox_ids_mapped(SANDBOX_UID_FIRST, SANDBOX_UID_COUNT))
        order.uid = order.gid = sandbox_uid(7, 7);
    order.no_userns = order.uid != 0 && sandbox_try_userns() < 0;
    if (sandbox_spawn(&order, &rig->pid, &rig->pidfd, &missing) < 0)
        fail_msg("%s", err_text());
    close(null);
}

static void say_what_to_serve(struct gateway_rig *rig)
{
    Bulkhead__ServeVm serve = BULKHEAD__SERVE_VM__INIT;
    CLIENT_ENVELOPE(e, SERVE_VM, serve_vm, &serve);
    char name[] = "vm", dir[] = "/srv", run_dir[] = "/run/vm";

    serve.vm = name;
    serve.pid = 4711;
    serve.dir = dir;
    serve.run_dir = run_dir;
    assert_int_equal(channel_send_raw(rig->starter, &e.base, NULL, 0, true), 0);
}

struct gateway_rig *gateway_begin(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct gateway_rig *rig = calloc(1, sizeof *rig);
    int pair[2];

    assert_non_null(rig);
    assert_true(temp_dir(rig->dir, 80, "bulkhead-gateway"));
    snprintf(rig->path, sizeof rig->path, "%s/api.sock", rig->dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", rig->path);
    rig->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rig->listen_fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(rig->listen_fd, 128), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    spawn(rig, pair[1]);
    close(pair[1]);
    assert_int_equal(channel_new(&rig->starter, pair[0], CHANNEL_ARENA_CLIENT), 0);
    say_what_to_serve(rig);
    return rig;
}

void gateway_end(struct gateway_rig *rig)
{
    struct pollfd p = { .fd = rig->pidfd, .events = POLLIN };
    int status = 0;

    channel_freep(&rig->starter);
    channel_freep(&rig->broker);
    channel_freep(&rig->opener);
    if (poll(&p, 1, GATEWAY_PATIENCE_MS) != 1)
        fail_msg("it doesn't end");
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    close(rig->pidfd);
    close(rig->listen_fd);
    unlink(rig->path);
    assert_int_equal(rmdir(rig->dir), 0);
    free(rig);
    assert_int_equal(status, 0);
}

/* ---- the others ---- */

static const Bulkhead__ClientEnvelope *receive(struct channel **channel, int **ret_fds,
                                               size_t *ret_n_fds)
{
    ProtobufCMessage *msg = NULL;

    if (channel_receive_raw(*channel, true, &bulkhead__client_envelope__descriptor, &msg, ret_fds,
                            ret_n_fds) != 0) {
        channel_freep(channel);
        return NULL;
    }
    return (const Bulkhead__ClientEnvelope *)msg;
}

static void reply_with(struct channel *channel, uint32_t id, Bulkhead__Reply *reply, const int *fd)
{
    CLIENT_ENVELOPE(e, REPLY, reply, reply);

    e.id = id;
    (void)!channel_send_raw(channel, &e.base, fd, fd ? 1 : 0, true);
}

static void play_starter(struct gateway_rig *rig)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    const Bulkhead__ClientEnvelope *e;
    char text[] = "the test lets nobody in";
    size_t n_fds = 0;
    int *fds, pair[2];

    e = receive(&rig->starter, &fds, &n_fds);
    if (!e)
        fail_msg("the gateway has ended");
    assert_int_equal(e->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_CONNECT);
    if (rig->refuses) {
        reply.error = EAGAIN;
        reply.text = text;
        reply_with(rig->starter, e->id, &reply, NULL);
        return;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    if (e->connect->opener) {
        channel_freep(&rig->opener);
        assert_int_equal(channel_new(&rig->opener, pair[0], CHANNEL_ARENA_CLIENT), 0);
        rig->n_openers++;
    } else {
        channel_freep(&rig->broker);
        assert_int_equal(channel_new(&rig->broker, pair[0], CHANNEL_ARENA_CLIENT), 0);
        rig->n_brokers++;
    }
    reply_with(rig->starter, e->id, &reply, &pair[1]);
    close(pair[1]);
}

static void describe(struct channel *broker, uint32_t id)
{
    Bulkhead__VmDescription description = BULKHEAD__VM_DESCRIPTION__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__CpusConfig cpus = BULKHEAD__CPUS_CONFIG__INIT;
    Bulkhead__MemoryConfig memory = BULKHEAD__MEMORY_CONFIG__INIT;
    Bulkhead__ConsoleConfig serial = BULKHEAD__CONSOLE_CONFIG__INIT;
    Bulkhead__DeviceDescription device = BULKHEAD__DEVICE_DESCRIPTION__INIT,
                                *devices[] = { &device };
    CLIENT_ENVELOPE(e, VM_DESCRIPTION, vm_description, &description);
    char name[] = "vm", kernel[] = "/k", state[] = "paused", console[] = "serial",
         pty[] = "/dev/pts/7";

    config.name = name;
    config.kernel = kernel;
    config.cpus = &cpus;
    cpus.boot_vcpus = 2;
    config.memory = &memory;
    memory.size = 1 << 29;
    config.serial = &serial;
    serial.mode = BULKHEAD__CONSOLE_MODE__CONSOLE_PTY;
    device.id = console;
    device.role = BULKHEAD__ROLE__ROLE_CONSOLE;
    device.pty_path = pty;
    description.config = &config;
    description.state = state;
    description.balloon_bytes = 1 << 28;
    description.devices = devices;
    description.n_devices = 1;
    e.id = id;
    (void)!channel_send_raw(broker, &e.base, NULL, 0, true);
}

static void count(struct channel *broker, uint32_t id)
{
    Bulkhead__Stats stats = BULKHEAD__STATS__INIT;
    Bulkhead__DeviceStats disk = BULKHEAD__DEVICE_STATS__INIT, *devices[] = { &disk };
    Bulkhead__Counters counters = BULKHEAD__COUNTERS__INIT;
    CLIENT_ENVELOPE(e, STATS, stats, &stats);
    char name[] = "disk0";

    disk.name = name;
    disk.role = BULKHEAD__ROLE__ROLE_BLK;
    disk.counters = &counters;
    counters.read_bytes = 4096;
    stats.devices = devices;
    stats.n_devices = 1;
    e.id = id;
    (void)!channel_send_raw(broker, &e.base, NULL, 0, true);
}

static void play_broker(struct gateway_rig *rig)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    const Bulkhead__ClientEnvelope *e;
    char text[] = "as the test has it", device[] = "disk1", address[] = "0000:00:05.0";
    size_t n_fds = 0;
    int *fds;

    e = receive(&rig->broker, &fds, &n_fds);
    if (rig->dies)
        channel_freep(&rig->broker);
    if (!e || !rig->broker || rig->silent)
        return;
    reply.error = rig->error;
    reply.bad_input = rig->error != 0 && !rig->host_failure;
    reply.text = text;
    if (rig->error != 0) {
        reply_with(rig->broker, e->id, &reply, NULL);
    } else if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_GET_VM) {
        describe(rig->broker, e->id);
    } else if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_GET_STATS) {
        count(rig->broker, e->id);
    } else {
        if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE) {
            reply.device = device;
            reply.address = address;
            assert_int_equal(n_fds, e->add_device->check_only ? 0 : 1);
            assert_true(e->add_device->check_only || e->add_device->backend);
        }
        reply_with(rig->broker, e->id, &reply, NULL);
    }
}

static void play_opener(struct gateway_rig *rig)
{
    Bulkhead__AddDevice answer = BULKHEAD__ADD_DEVICE__INIT;
    Bulkhead__Backend backend = BULKHEAD__BACKEND__INIT;
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &answer);
    const Bulkhead__ClientEnvelope *request;
    int *fds, own;
    struct stat st;

    request = receive(&rig->opener, &fds, &rig->n_opened);
    if (!request)
        return;
    assert_int_equal(request->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE);
    assert_string_equal(request->add_device->run_dir, "/run/vm");
    for (size_t i = 0; i < rig->n_opened; i++) {
        assert_int_equal(fstat(fds[i], &st), 0);
        assert_true(rig->n_inodes < ARRAY_SIZE(rig->inodes));
        rig->inodes[rig->n_inodes++] = st.st_ino;
    }
    if (request->add_device->device->n_disks > 0)
        snprintf(rig->opened_path, sizeof rig->opened_path, "%s",
                 request->add_device->device->disks[0]->path);
    own = memfd_create("disk", MFD_CLOEXEC);
    backend.own = 1;
    answer.backend = &backend;
    e.id = request->id;
    assert_int_equal(channel_send_raw(rig->opener, &e.base, &own, 1, true), 0);
    close(own);
}

/* Whether something has come for the client, or it has gone. */
static bool play_once(struct gateway_rig *rig, int client, int timeout_ms)
{
    struct pollfd p[] = { { .fd = client, .events = POLLIN },
                          { .fd = channel_fd(rig->starter), .events = POLLIN },
                          { .fd = rig->broker ? channel_fd(rig->broker) : -1, .events = POLLIN },
                          { .fd = rig->opener ? channel_fd(rig->opener) : -1, .events = POLLIN } };
    int n = poll(p, ARRAY_SIZE(p), timeout_ms);

    assert_true(n >= 0);
    if (p[1].revents)
        play_starter(rig);
    if (p[2].revents && rig->broker)
        play_broker(rig);
    if (p[3].revents && rig->opener)
        play_opener(rig);
    if (n == 0 && timeout_ms == GATEWAY_PATIENCE_MS)
        fail_msg("nobody says anything");
    return p[0].revents != 0 || n == 0;
}

void gateway_play(struct gateway_rig *rig, int client, int timeout_ms)
{
    while (!play_once(rig, client, timeout_ms))
        ;
}

/* ---- clients ---- */

int gateway_connect(const struct gateway_rig *rig)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", rig->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void gateway_send(int client, const char *text, size_t len, const int *fds, size_t n_fds)
{
    assert_int_equal(fd_send(client, text, len, fds, n_fds, 0), 0);
}

void gateway_ask(int client, const char *method, const char *path, const char *body)
{
    char text[8192];
    int n =
        body ? snprintf(text, sizeof text,
                        "%s /api/v1%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                        method, path, strlen(body), body)
             : snprintf(text, sizeof text, "%s /api/v1%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        method, path);

    assert_true(n < (int)sizeof text);
    gateway_send(client, text, (size_t)n, NULL, 0);
}

static void read_more(struct gateway_rig *rig, int client, char *text, size_t *len, size_t want)
{
    while (*len < want) {
        ssize_t n;

        while (!play_once(rig, client, GATEWAY_PATIENCE_MS))
            ;
        n = recv(client, text + *len, want - *len, 0);
        if (n <= 0)
            fail_msg("no answer comes");
        *len += (size_t)n;
    }
    text[*len] = '\0';
}

static bool header(const char *head, const char *name, char *dst, size_t size)
{
    const char *at = strcasestr(head, name);

    if (at)
        snprintf(dst, size, "%.*s", (int)strcspn(at + strlen(name), "\r"), at + strlen(name));
    return at != NULL;
}

void gateway_hear(struct gateway_rig *rig, int client, struct gateway_response *ret)
{
    char head[4096] = "", value[64];
    size_t len = 0, body_len;

    memset(ret, 0, sizeof *ret);
    while (len < 4 || strcmp(head + len - 4, "\r\n\r\n") != 0)
        read_more(rig, client, head, &len, len + 1);
    if (sscanf(head, "HTTP/1.1 %d ", &ret->status) != 1)
        fail_msg("that is no answer: %s", head);
    if (header(head, "\r\nConnection: ", value, sizeof value))
        ret->closes = strcmp(value, "close") == 0;
    (void)header(head, "\r\nX-Bulkhead-Ignored: ", ret->ignored, sizeof ret->ignored);
    if (!header(head, "\r\nContent-Length: ", value, sizeof value)) {
        assert_true(ret->status == 204 || ret->status == 100);
        return;
    }
    len = 0;
    body_len = strtoul(value, NULL, 10);
    assert_true(body_len < sizeof ret->body);
    read_more(rig, client, ret->body, &len, body_len);
}

void gateway_hear_end(struct gateway_rig *rig, int client)
{
    char byte;
    ssize_t n;

    do {
        while (!play_once(rig, client, GATEWAY_PATIENCE_MS))
            ;
        n = recv(client, &byte, 1, 0);
    } while (n > 0);
    close(client);
}
