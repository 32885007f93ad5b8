// SPDX-License-Identifier: Apache-2.0
// fake_host.c - see fake_host.h.
#include "fake_host.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#include <cmocka.h>

int fake_host_setup(void **state)
{
    struct fake_host *f = calloc(1, sizeof(*f));
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char path[128];

    snprintf(f->dir, sizeof(f->dir), "/tmp/bulkhead-cli-host-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(path, sizeof(path), "%s/run", f->dir);
    mkdir(path, 0700);
    setenv("BULKHEAD_RUNDIR", path, 1);
    snprintf(path, sizeof(path), "%s/config", f->dir);
    mkdir(path, 0755);
    setenv("BULKHEAD_HOST_CONFIG", path, 1);
    setenv("BULKHEAD_HOST_RUN", f->dir, 1);
    snprintf(path, sizeof(path), "%s/state", f->dir); /* there is none, but for a test's own */
    setenv("BULKHEAD_HOST_STATE", path, 1);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/host.sock", f->dir);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(f->listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(f->listener, 4) < 0)
        return -1;
    *state = f;
    return 0;
}

int fake_host_teardown(void **state)
{
    struct fake_host *f = *state;
    char command[128];
    int r;

    close(f->listener);
    snprintf(command, sizeof(command), "rm -r %s", f->dir);
    r = system(command); /* NOLINT(cert-env33-c) */
    free(f);
    return r;
}

static int split(char *line, char **argv, int max)
{
    int argc = 0;

    for (char *p = strtok(line, " "); p && argc < max; p = strtok(NULL, " "))
        argv[argc++] = p;
    return argc;
}

void fake_host_run(struct fake_host *f, const char *line, const char *cwd, bool with_input)
{
    char copy[1024];
    char *argv[48] = { (char[]){ "bulkhead" } };
    int in[2], out[2];

    snprintf(copy, sizeof(copy), "%s", line);
    split(copy, argv + 1, 46);
    f->text[0] = '\0';
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    f->pid = fork();
    if (f->pid == 0) {
        dup2(with_input ? in[0] : open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        if (!cwd || chdir(cwd) == 0)
            execv(BULKHEAD_PROGRAM, argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    f->in = in[1];
    f->out = out[0];
}

void fake_host_run_tty(struct fake_host *f, const char *line)
{
    char copy[1024];
    char *argv[48] = { (char[]){ "bulkhead" } };
    int master, slave;

    snprintf(copy, sizeof(copy), "%s", line);
    split(copy, argv + 1, 46);
    f->text[0] = '\0';
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(fcntl(master, F_SETFD, FD_CLOEXEC), 0);
    f->pid = fork();
    if (f->pid == 0) {
        if (login_tty(slave) == 0)
            execv(BULKHEAD_PROGRAM, argv);
        _exit(127);
    }
    close(slave);
    f->out = master;
    f->in = dup(master);
    assert_int_equal(fcntl(f->in, F_SETFD, FD_CLOEXEC), 0);
}

/* False: that was all. */
static bool read_some(struct fake_host *f)
{
    struct pollfd p = { .fd = f->out, .events = POLLIN };
    size_t n = strlen(f->text);
    ssize_t got;

    assert_int_equal(poll(&p, 1, FAKE_TIMEOUT_MS), 1);
    assert_true(n + 1 < sizeof(f->text));
    got = read(f->out, f->text + n, sizeof(f->text) - 1 - n);
    if (got > 0)
        f->text[n + (size_t)got] = '\0';
    return got > 0;
}

void fake_host_await(struct fake_host *f, const char *text)
{
    while (!strstr(f->text, text))
        if (!read_some(f))
            fail_msg("the program ended without '%s': '%s'", text, f->text);
}

int fake_host_finish(struct fake_host *f)
{
    int status;

    if (f->in >= 0)
        close(f->in);
    while (read_some(f))
        ;
    close(f->out);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

size_t fake_host_count(const struct fake_host *f, const char *text)
{
    size_t n = 0;

    for (const char *p = f->text; (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

struct channel *fake_host_accept(struct fake_host *f)
{
    struct pollfd p = { .fd = f->listener, .events = POLLIN };
    struct channel *channel = NULL;

    assert_int_equal(poll(&p, 1, FAKE_TIMEOUT_MS), 1);
    assert_int_equal(
        channel_new(&channel, accept4(f->listener, NULL, NULL, SOCK_CLOEXEC), CHANNEL_ARENA_BROKER),
        0);
    return channel;
}

const Bulkhead__HostEnvelope *fake_host_next(struct channel *channel)
{
    struct pollfd p = { .fd = channel_fd(channel), .events = POLLIN };
    const Bulkhead__HostEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds;

    assert_int_equal(poll(&p, 1, FAKE_TIMEOUT_MS), 1);
    assert_int_equal(channel_receive_raw(channel, true, &bulkhead__host_envelope__descriptor, &msg,
                                         &fds, &n_fds),
                     0);
    e = (const Bulkhead__HostEnvelope *)msg;
    assert_int_not_equal(e->id, 0);
    return e;
}

const Bulkhead__HostEnvelope *fake_host_expect(struct channel *channel,
                                               Bulkhead__HostEnvelope__BodyCase body)
{
    const Bulkhead__HostEnvelope *e = fake_host_next(channel);

    assert_int_equal(e->body_case, body);
    return e;
}

void fake_host_send(struct channel *channel, Bulkhead__HostEnvelope *answer, const int *fds,
                    size_t n_fds)
{
    assert_int_equal(channel_send_raw(channel, &answer->base, fds, n_fds, true), 0);
}

static void send_reply(struct channel *channel, uint32_t id, int error, bool bad_input,
                       const char *text, const int *fds, size_t n_fds)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__HostReply msg = BULKHEAD__HOST_REPLY__INIT;
    char copy[256];

    snprintf(copy, sizeof(copy), "%s", text);
    msg.error = error;
    msg.bad_input = bad_input;
    msg.text = copy;
    e.id = id;
    e.body_case = BULKHEAD__HOST_ENVELOPE__BODY_REPLY;
    e.reply = &msg;
    fake_host_send(channel, &e, fds, n_fds);
}

void fake_host_reply(struct channel *channel, uint32_t id, int error, bool bad_input,
                     const char *text)
{
    send_reply(channel, id, error, bad_input, text, NULL, 0);
}

void fake_host_reply_with(struct channel *channel, uint32_t id, const int *fds, size_t n_fds)
{
    send_reply(channel, id, 0, false, "", fds, n_fds);
}

void fake_host_tell_tenant(struct channel *c, const char *tenant)
{
    Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__HostInfo info = BULKHEAD__HOST_INFO__INIT;
    char name[16];

    snprintf(name, sizeof(name), "%s", tenant);
    info.tenant = name;
    answer.id = fake_host_expect(c, BULKHEAD__HOST_ENVELOPE__BODY_GET_HOST)->id;
    answer.body_case = BULKHEAD__HOST_ENVELOPE__BODY_HOST_INFO;
    answer.host_info = &info;
    fake_host_send(c, &answer, NULL, 0);
}

void fake_host_tell_vms(struct channel *c, unsigned n)
{
    Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__VmList list = BULKHEAD__VM_LIST__INIT;
    Bulkhead__VmStatus *vms[] = { fake_host_status(0), fake_host_status(1) };

    list.vms = vms;
    list.n_vms = n;
    answer.id = fake_host_expect(c, BULKHEAD__HOST_ENVELOPE__BODY_LIST_VMS)->id;
    answer.body_case = BULKHEAD__HOST_ENVELOPE__BODY_VM_LIST;
    answer.vm_list = &list;
    fake_host_send(c, &answer, NULL, 0);
}

void fake_host_open(struct fake_host *f, const char *vm, Bulkhead__VmChannel channel, int *fds,
                    size_t n_fds)
{
    struct channel *c = fake_host_accept(f);
    const Bulkhead__HostEnvelope *e = fake_host_expect(c, BULKHEAD__HOST_ENVELOPE__BODY_OPEN_VM);

    assert_string_equal(e->open_vm->vm, vm);
    assert_int_equal(e->open_vm->channel, channel);
    send_reply(c, e->id, 0, false, "", fds, n_fds);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    channel_free(c);
}

Bulkhead__VmStatus *fake_host_status(unsigned i)
{
    static Bulkhead__VmStatus status[2];
    static Bulkhead__KeyValue label, *labels[] = { &label };
    static Bulkhead__VmEnded ended;
    static char texts[][16] = { "acme", "web", "db", "tier", "front", "triple fault" };
    Bulkhead__VmStatus *s = &status[i];
    uint64_t now_ns = (uint64_t)time(NULL) * 1000000000u;

    bulkhead__vm_status__init(s);
    s->tenant = texts[0];
    s->name = texts[1 + i];
    s->vcpus = 2;
    s->memory = 1ull << 30;
    s->disks = 1 + i;
    s->nets = 1;
    s->starts = 3;
    s->created_ns = 1700000000000000000u;
    s->started_ns = now_ns - 7205 * 1000000000ull;
    if (i == 0) {
        bulkhead__key_value__init(&label);
        label.key = texts[3];
        label.value = texts[4];
        s->labels = labels;
        s->n_labels = 1;
        s->state = BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING;
    } else {
        bulkhead__vm_ended__init(&ended);
        ended.state = BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT;
        ended.detail = texts[5];
        s->state = BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED;
        s->ended_ns = now_ns - 125 * 1000000000ull;
        s->how_ended = &ended;
    }
    return s;
}
