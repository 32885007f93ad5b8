/* SPDX-License-Identifier: Apache-2.0 */
/* launcher_test.c - a launcher that is to give a VM that runs a device more, between a service that was taken over and a broker. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/envelope.h"
#include "ipc/channel.h"
#include "run/launcher.h"
#include "temp_dir.h"
#include <cmocka.h>

#define T(text) ((char *)(uintptr_t)(text))

enum { TREE = LAUNCHER_FD_TREES, ABOVE = TREE + 1 };

struct rig {
    char dir[64], disk[80];
    pid_t pid;
    struct channel *service, *broker;
};

static void connect_launcher(struct channel **ret_ours, int *ret_theirs)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(channel_new(ret_ours, pair[0], CHANNEL_ARENA_BROKER), 0);
    *ret_theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, ABOVE);
    close(pair[1]);
}

static _Noreturn void be_launcher(const struct rig *rig, int service, int broker,
                                  const char *const *allowed)
{
    char *args[8];
    unsigned n = 0;
    int tree = open(rig->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    while (*allowed)
        args[n++] = T(*allowed++);
    args[n++] = T(rig->dir);
    tree = fcntl(tree, F_DUPFD_CLOEXEC, ABOVE);
    close(channel_fd(rig->service)); /* the other ends are the test's */
    close(channel_fd(rig->broker));
    (void)dup2(service, LAUNCHER_FD_SERVICE);
    (void)dup2(broker, LAUNCHER_FD_BROKER);
    (void)dup2(tree, TREE);
    _exit(launcher_main(args, n, NULL));
}

static void start(struct rig *rig, const char *const *allowed)
{
    int service, broker;

    assert_true(temp_dir(rig->dir, sizeof rig->dir, "bh-launcher"));
    snprintf(rig->disk, sizeof rig->disk, "%s/d", rig->dir);
    service = open(rig->disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(service, 4096), 0);
    close(service);
    connect_launcher(&rig->service, &service);
    connect_launcher(&rig->broker, &broker);
    rig->pid = fork();
    if (rig->pid == 0)
        be_launcher(rig, service, broker, allowed);
    close(service);
    close(broker);
}

static void end(struct rig *rig)
{
    int status;

    channel_free(rig->broker);
    channel_free(rig->service);
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    assert_int_equal(unlink(rig->disk) | rmdir(rig->dir), 0);
}

static void ask_for_disk(struct rig *rig)
{
    Bulkhead__AddDevice add = BULKHEAD__ADD_DEVICE__INIT;
    Bulkhead__VmConfig device = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &disk };
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &add);

    disk.path = rig->disk;
    device.disks = disks;
    device.n_disks = 1;
    add.device = &device;
    assert_int_equal(channel_send_raw(rig->service, &e.base, NULL, 0, true), 0);
}

/* Valid until the next one. */
static const Bulkhead__ClientEnvelope *hear(struct channel *channel)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds;

    assert_int_equal(channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     0);
    return (const Bulkhead__ClientEnvelope *)msg;
}

/* Which only the broker can: a launcher sees one device. */
static void the_broker_is_told_how_many(void **state)
{
    static const char *const allowed[] = { "tenant=acme", "devices=3", NULL };
    static const char *const more[] = { "tenant=acme", "devices=0", "user-net", NULL };

    (void)state;
    for (int i = 0; i < 2; i++) {
        const Bulkhead__ClientEnvelope *e;
        struct rig rig;

        start(&rig, i == 0 ? allowed : more);
        ask_for_disk(&rig);
        e = hear(rig.broker);
        assert_int_equal(e->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_LIMIT_SESSION);
        assert_int_equal(e->limit_session->max_devices, i == 0 ? 3 : 0);
        assert_int_equal(e->limit_session->no_user_net, i == 0);
        assert_true(e->limit_session->no_programs);
        e = hear(rig.broker);
        assert_int_equal(e->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE);
        assert_string_equal(e->add_device->device->disks[0]->path, rig.disk);
        end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_broker_is_told_how_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
