// SPDX-License-Identifier: Apache-2.0
// fake_broker.c - see fake_broker.h.
#include "fake_broker.h"
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int fake_broker_setup(void **state)
{
    struct fake_broker *f = calloc(1, sizeof(*f));
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char path[128];

    snprintf(f->dir, sizeof(f->dir), "/tmp/bulkhead-cli-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    setenv("BULKHEAD_RUNDIR", f->dir, 1);
    setenv("BULKHEAD_HOST_RUN", f->dir, 1); /* where no service is */
    snprintf(path, sizeof(path), "%s/alpha", f->dir);
    mkdir(path, 0700);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/alpha/control.sock", f->dir);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(f->listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(f->listener, 4) < 0)
        return -1;
    *state = f;
    return 0;
}

int fake_broker_teardown(void **state)
{
    struct fake_broker *f = *state;
    char path[128];

    close(f->listener);
    snprintf(path, sizeof(path), "%s/alpha/control.sock", f->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/alpha", f->dir);
    rmdir(path);
    rmdir(f->dir);
    free(f);
    return 0;
}

void fake_broker_start(struct fake_broker *f, const char *line)
{
    char copy[256];
    char *argv[16] = { (char[]){ "bulkhead" } };
    int argc = 1;
    int fds[2];

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *p = strtok(copy, " "); p && argc < 15; p = strtok(NULL, " "))
        argv[argc++] = p;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    f->pid = fork();
    if (f->pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        execv(BULKHEAD_PROGRAM, argv);
        _exit(127);
    }
    close(fds[1]);
    f->out = fds[0];
}

int fake_broker_finish(struct fake_broker *f)
{
    size_t n = 0;
    ssize_t got;
    int status;

    while (n + 1 < sizeof(f->text) &&
           (got = read(f->out, f->text + n, sizeof(f->text) - 1 - n)) > 0)
        n += (size_t)got;
    f->text[n] = '\0';
    close(f->out);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct channel *fake_broker_accept_client(struct fake_broker *f)
{
    struct pollfd p = { .fd = f->listener, .events = POLLIN };
    struct channel *channel = NULL;

    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    assert_int_equal(
        channel_new(&channel, accept4(f->listener, NULL, NULL, SOCK_CLOEXEC), CHANNEL_ARENA_BROKER),
        0);
    return channel;
}

uint32_t fake_broker_expect(struct channel *channel, Bulkhead__ClientEnvelope__BodyCase body)
{
    const Bulkhead__ClientEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds;

    assert_int_equal(channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     0);
    e = (const Bulkhead__ClientEnvelope *)msg;
    assert_int_equal(e->body_case, body);
    assert_int_not_equal(e->id, 0);
    return e->id;
}

void fake_broker_reply(struct channel *channel, uint32_t id, int error, bool bad_input,
                       const char *text)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply msg = BULKHEAD__REPLY__INIT;
    char copy[128];

    snprintf(copy, sizeof(copy), "%s", text);
    msg.error = error;
    msg.bad_input = bad_input;
    msg.text = copy;
    e.id = id;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY;
    e.reply = &msg;
    assert_int_equal(channel_send_raw(channel, &e.base, NULL, 0, true), 0);
}

struct family fake_broker_start_family(struct fake_broker *f, bool with_lock)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct family family;
    char path[128];
    int lock, told[2];

    snprintf(path, sizeof(path), "%s/alpha/lock", f->dir);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(lock >= 0);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    family.spawner = fork();
    if (family.spawner == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "bulkhead-spawn");
        if (with_lock && fcntl(lock, F_OFD_SETLK, &all) < 0)
            _exit(1);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* before anybody knows of it */
            family.child = getpid();
            if (write(told[1], &family.child, sizeof(pid_t)) != sizeof(pid_t))
                _exit(1);
        }
        for (;;)
            pause();
    }
    close(lock);
    assert_int_equal(read(told[0], &family.child, sizeof(pid_t)), sizeof(pid_t));
    close(told[0]);
    close(told[1]);
    return family;
}

void fake_broker_end_family(struct fake_broker *f, const struct family *family)
{
    char path[128];

    kill(family->spawner, SIGKILL);
    assert_int_equal(waitpid(family->spawner, NULL, 0), family->spawner);
    snprintf(path, sizeof(path), "%s/alpha/lock", f->dir);
    unlink(path);
}

void fake_broker_answer_list(struct channel *channel, size_t n, const struct family *family)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    Bulkhead__ProcessInfo info = BULKHEAD__PROCESS_INFO__INIT, spawner = info;
    Bulkhead__ProcessInfo *pointers[1 + MANY] = { &spawner };
    char vm[] = "alpha", name[] = "disk0", running[] = "running";
    char replaced[] = "userns replaced by so and so", missing[] = "landlock";
    char *layers[] = { missing };

    info.missing_layers = layers;
    info.n_missing_layers = 1;
    info.replaced_layer = replaced;
    info.role = BULKHEAD__ROLE__ROLE_BLK;
    info.name = name;
    info.pid = family->child;
    info.restarts = 7;
    info.state = running;
    list.vm = vm;
    list.state = running;
    list.ram_size = 512ull << 20;
    spawner.role = BULKHEAD__ROLE__ROLE_SPAWNER;
    spawner.name = spawner.state = running;
    spawner.pid = family->spawner;
    for (size_t i = 0; i < n; i++)
        pointers[1 + i] = &info;
    list.processes = pointers;
    list.n_processes = 1 + n;
    e.id = fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES);
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST;
    e.process_list = &list;
    assert_int_equal(channel_send_raw(channel, &e.base, NULL, 0, true), 0);
}
