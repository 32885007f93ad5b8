/* SPDX-License-Identifier: Apache-2.0 */
/* add_test.c - `bulkhead add` on a VM whose broker was taken over: whatever that answers, what is opened with the rights
 * of the one who asks is what he has asked for, and no more. The test is the broker. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "client.pb-c.h"
#include "client/envelope.h"
#include "client/rundir.h"
#include "ipc/channel.h"
#include "lingering.h"

enum { PATIENCE_MS = 60000 };

#define B(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name

static char dir[] = "/tmp/bulkhead-add.XXXXXX", victim[64], own[64], socket_path[100];
static struct channel *client;
static pid_t pid;
static uint32_t request; /* what is answered next */

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
}

/* A run directory with one VM in it. */
static int listen_as_vm(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", socket_path);
    unlink(socket_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* The next request; NULL: the client has left. */
static const Bulkhead__AddDevice *hear(int **ret_fds, size_t *ret_n_fds)
{
    ProtobufCMessage *msg = NULL;
    const Bulkhead__ClientEnvelope *e;

    if (channel_receive_raw(client, true, &bulkhead__client_envelope__descriptor, &msg, ret_fds,
                            ret_n_fds) != 0)
        return NULL;
    e = (const Bulkhead__ClientEnvelope *)msg;
    assert_int_equal(e->body_case, B(ADD_DEVICE));
    request = e->id;
    return e->add_device;
}

/* Up to where it has asked whether it may. */
static void start_add(const char *flag, const char *value)
{
    const Bulkhead__AddDevice *m;
    int listening = listen_as_vm(), fd, *fds = NULL;
    size_t n_fds = 0;
    char program[512];

    snprintf(program, sizeof program, "%s/bulkhead", getenv("BULKHEAD_BIN"));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(program, "bulkhead", "add", "vm", flag, value, (char *)NULL);
        _exit(127);
    }
    fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listening);
    assert_int_equal(channel_new(&client, fd, CHANNEL_ARENA_CLIENT), 0);
    m = hear(&fds, &n_fds);
    assert_non_null(m);
    assert_true(m->check_only && n_fds == 0);
}

/* Of a disk that exists, with what else is said of it. */
static void start_add_disk(const char *rest)
{
    char value[160];

    snprintf(value, sizeof value, "path=%s%s", own, rest);
    start_add("--disk", value);
}

static void answer(Bulkhead__Reply *reply)
{
    CLIENT_ENVELOPE(e, REPLY, reply, reply);

    e.id = request;
    assert_int_equal(channel_send_raw(client, &e.base, NULL, 0, true), 0);
}

static void answer_name(const char *name)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;

    reply.device = (char *)(uintptr_t)name;
    answer(&reply);
}

static int end_of_add(void)
{
    int status;

    channel_freep(&client);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* It asks for something else in its answer, as one that is to be opened. */
static void answers_with_a_device(void **state)
{
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &disk };
    Bulkhead__AddDevice answer = BULKHEAD__ADD_DEVICE__INIT;
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &answer);
    size_t n_fds = 0;
    int *fds = NULL;

    (void)state;
    start_add("--balloon", "size=1M");
    disk.id = (char[]){ "disk9" };
    disk.path = victim;
    config.disks = disks;
    config.n_disks = 1;
    answer.device = &config;
    e.id = request;
    assert_int_equal(channel_send_raw(client, &e.base, NULL, 0, true), 0);
    assert_null(hear(&fds, &n_fds));
    assert_int_not_equal(end_of_add(), 0);
}

static void has_nothing_opened_for_a_balloon(void **state)
{
    const Bulkhead__AddDevice *m;
    size_t n_fds = 0;
    int *fds = NULL;

    (void)state;
    start_add("--balloon", "size=1M");
    answer_name(victim);
    m = hear(&fds, &n_fds);
    assert_non_null(m);
    assert_true(n_fds == 0 && !m->backend);
    answer_name("balloon");
    assert_int_equal(end_of_add(), 0);
}

/* The file, the way it is opened, and nothing else. */
static void gets_the_disk_that_was_asked_for(void **state)
{
    const Bulkhead__AddDevice *m;
    struct stat st, wanted;
    size_t n_fds = 0;
    int *fds = NULL;

    (void)state;
    start_add_disk(",readonly=on");
    answer_name("disk7");
    m = hear(&fds, &n_fds);
    assert_non_null(m);
    assert_true(n_fds == 1 && m->device->n_disks == 1);
    assert_string_equal(m->device->disks[0]->id, ""); /* it chooses again */
    assert_string_equal(m->device->disks[0]->path, own);
    assert_int_equal(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fstat(fds[0], &st) | stat(own, &wanted), 0);
    assert_true(st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino);
    answer_name("disk7");
    assert_int_equal(end_of_add(), 0);
}

static void gives_a_name_that_is_none(void **state)
{
    size_t n_fds = 0;
    int *fds = NULL;

    (void)state;
    start_add_disk("");
    answer_name("../../disk");
    assert_null(hear(&fds, &n_fds));
    assert_int_not_equal(end_of_add(), 0);
}

/* Up to where it has the descriptors of a vsock: of the holder, whose pidfd is returned, it holds the link. */
static int hear_vsock(int *ret_link)
{
    const Bulkhead__AddDevice *m;
    struct ucred who;
    socklen_t len = sizeof who;
    char value[160];
    size_t n_fds = 0;
    int *fds = NULL, pidfd;

    snprintf(value, sizeof value, "cid=9,socket=%s.sock", own);
    start_add("--vsock", value);
    answer_name("vsock0");
    m = hear(&fds, &n_fds);
    assert_non_null(m);
    assert_true(n_fds == 2 && m->backend->holder);
    assert_int_equal(getsockopt(fds[1], SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
    assert_int_not_equal(who.pid, pid);
    pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
    assert_true(pidfd >= 0);
    *ret_link = fd_take(&fds[1]);
    return pidfd;
}

static bool has_socket(void)
{
    struct stat st;
    char path[160];

    snprintf(path, sizeof path, "%s.sock", own);
    return lstat(path, &st) == 0;
}

static void refuse(void)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;

    reply.error = EINVAL;
    reply.text = (char[]){ "no" };
    answer(&reply);
}

static void await_holder(int pidfd)
{
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };

    assert_int_equal(poll(&ended, 1, 20000), 1);
    assert_false(has_socket());
    close(pidfd);
}

/* Whoever was refused finds nothing of it. */
static void refuses_a_socket_that_was_made(void **state)
{
    int link, pidfd = hear_vsock(&link);

    (void)state;
    assert_true(has_socket());
    refuse();
    close(link);
    assert_int_not_equal(end_of_add(), 0);
    assert_false(has_socket());
    await_holder(pidfd);
}

/* The client does not wait for ever. */
static void keeps_the_link_to_the_holder(void **state)
{
    int link, pidfd = hear_vsock(&link);

    (void)state;
    refuse();
    assert_int_not_equal(end_of_add(), 0);
    assert_true(has_socket());
    close(link);
    await_holder(pidfd);
}

static void dies_with_who_asked_it(void **state)
{
    int link, pidfd = hear_vsock(&link), status;

    (void)state;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(has_socket());
    close(link);
    channel_freep(&client);
    await_holder(pidfd);
}

/* ---- a user network: its passt is asked for by a note ---- */

static void note_path(char path[100])
{
    snprintf(path, 100, "%s/vm/net3-passt", dir);
}

static bool has_note(void)
{
    char path[100];
    struct stat st;

    note_path(path);
    return lstat(path, &st) == 0;
}

/* The opener sees the client's end. */
static bool note_goes(void)
{
    for (unsigned ms = 0; has_note(); ms += 5) {
        struct pollfd never = { .fd = -1 };

        if (ms > PATIENCE_MS)
            return false;
        poll(&never, 1, 5);
    }
    return true;
}

/* Up to where the broker is asked for the device itself: the note is there. */
static void hear_user_network(void)
{
    const Bulkhead__AddDevice *m;
    struct stat st;
    char path[100];
    size_t n_fds = 0;
    int *fds = NULL;

    start_add("--net", "user,hostfwd=tcp:127.0.0.1:8022-:22");
    assert_false(has_note()); /* not before the broker has said that it may be */
    answer_name("net3");
    m = hear(&fds, &n_fds);
    assert_non_null(m);
    assert_true(n_fds == 0 && m->backend && m->device->n_nets == 1);
    assert_string_equal(m->device->nets[0]->id, "net3"); /* by which it is asked for */
    assert_string_equal(m->run_dir, "");
    note_path(path);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 && st.st_uid == geteuid());
}

/* Nobody uses it: it goes with who asked. */
static void says_that_it_has_started_passt(void **state)
{
    (void)state;
    hear_user_network();
    answer_name("net3");
    assert_int_equal(end_of_add(), 0);
    assert_true(note_goes());
}

static void refuses_a_user_network(void **state)
{
    (void)state;
    hear_user_network();
    refuse();
    assert_int_not_equal(end_of_add(), 0);
    assert_false(has_note()); /* at once */
}

static void never_answers_and_the_client_is_killed(void **state)
{
    int status;

    (void)state;
    hear_user_network();
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(note_goes());
    channel_freep(&client);
}

static void gives_a_name_that_leads_elsewhere(void **state)
{
    size_t n_fds = 0;
    int *fds = NULL;

    (void)state;
    start_add("--net", "user");
    answer_name("../net3");
    assert_null(hear(&fds, &n_fds));
    assert_int_equal(end_of_add(), 2);
    assert_false(has_note());
}

/* A descriptor that comes with its answer would be closed, and that may wait: here for an hour, or the peer. */
static void sends_descriptors(void **state)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);
    size_t n_fds = 0;
    int *fds = NULL, status, peer, lingers = lingering_socket(&peer);
    struct pollfd ended = { .events = POLLIN };

    (void)state;
    assert_true(lingers >= 0);
    start_add("--balloon", "size=1M");
    e.id = request;
    assert_int_equal(kill(pid, SIGSTOP), 0); /* until what it is sent is the only one */
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_int_equal(channel_send_raw(client, &e.base, &lingers, 1, true), 0);
    close(lingers);
    assert_int_equal(kill(pid, SIGCONT), 0);
    ended.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_null(hear(&fds, &n_fds));
    assert_int_equal(end_of_add(), 1); /* its user has done nothing wrong */
    close(ended.fd);
    close(peer);
}

static int set_up(void **state)
{
    char vm[64];

    (void)state;
    if (!getenv("BULKHEAD_BIN") || !mkdtemp(dir) || setenv("BULKHEAD_RUNDIR", dir, 1) < 0)
        return -1;
    snprintf(vm, sizeof vm, "%s/vm", dir);
    snprintf(socket_path, sizeof socket_path, "%s/" RUNDIR_SOCKET, vm);
    snprintf(victim, sizeof victim, "%s/victim", dir);
    snprintf(own, sizeof own, "%s/own", dir);
    if (mkdir(vm, 0700) < 0)
        return -1;
    make_file(victim);
    make_file(own);
    return 0;
}

static int tear_down(void **state)
{
    char vm[64];

    (void)state;
    snprintf(vm, sizeof vm, "%s/vm", dir);
    unlink(socket_path);
    unlink(victim);
    unlink(own);
    rmdir(vm);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_with_a_device),
        cmocka_unit_test(has_nothing_opened_for_a_balloon),
        cmocka_unit_test(gets_the_disk_that_was_asked_for),
        cmocka_unit_test(gives_a_name_that_is_none),
        cmocka_unit_test(sends_descriptors),
        cmocka_unit_test(refuses_a_socket_that_was_made),
        cmocka_unit_test(keeps_the_link_to_the_holder),
        cmocka_unit_test(dies_with_who_asked_it),
        cmocka_unit_test(says_that_it_has_started_passt),
        cmocka_unit_test(refuses_a_user_network),
        cmocka_unit_test(never_answers_and_the_client_is_killed),
        cmocka_unit_test(gives_a_name_that_leads_elsewhere),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
