/* SPDX-License-Identifier: Apache-2.0 */
/* run_test.c - `bulkhead run`, and a broker that was taken over: somebody got a copy of its end of the connection, and
 * broker and spawner are gone. This program is both, the second as the bulkhead-broker beside a copy of bulkhead. */
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
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "client.pb-c.h"
#include "client/envelope.h"
#include "client/rundir.h"
#include "ipc/channel.h"

static char dir[] = "/tmp/bulkhead-run.XXXXXX", vm[64], cli[64], broker[64], lock[80];

/* --- the broker --- */

static void say_booted(struct channel *client)
{
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    CLIENT_ENVELOPE(e, EVENT, event, &event);

    event.source = (char[]){ "vm" };
    event.event = (char[]){ "booted" };
    if (channel_send_raw(client, &e.base, NULL, 0, true) != 0)
        _exit(2);
}

static void say_ended(struct channel *client)
{
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    CLIENT_ENVELOPE(e, VM_ENDED, vm_ended, &ended);

    ended.by_user = true;
    if (channel_send_raw(client, &e.base, NULL, 0, true) != 0)
        _exit(2);
}

/* The VM is over with this process's end, the connection is not: the accomplice keeps it until the client leaves. */
static int be_broker(void)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct pollfd p = { .fd = 3 };
    ProtobufCMessage *msg = NULL;
    struct channel *client;
    size_t n_fds = 0;
    int *fds = NULL, fd = open(getenv("LOCK"), O_RDWR | O_CLOEXEC);

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &all) < 0 ||
        channel_new(&client, 3, CHANNEL_ARENA_CLIENT) < 0)
        return 1;
    poll(&(struct pollfd){ .fd = 3, .events = POLLIN }, 1, -1);
    if (channel_receive_raw(client, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        return 1;
    say_booted(client);
    if (fork() > 0)
        return 0;
    close(fd);
    if (strcmp(getenv("LAST_WORD"), "ended") == 0)
        say_ended(client);
    poll(&p, 1, -1);
    return 0;
}

/* --- the test --- */

static int copy(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    struct stat st;
    ssize_t n = 1;

    if (in < 0 || out < 0 || fstat(in, &st) < 0)
        return -1;
    for (off_t at = 0; at < st.st_size && n > 0;)
        n = sendfile(out, in, &at, (size_t)(st.st_size - at));
    close(in);
    close(out);
    return n > 0 ? 0 : -1;
}

static int run_vm(const char *last_word)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LAST_WORD", last_word, 1);
        execl(cli, "bulkhead", "run", "--name", "vm", "--kernel", "/dev/null", "--serial", "off",
              (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void run_sees_an_end_that_a_copy_hides(void **state)
{
    (void)state;
    assert_int_equal(run_vm(""), 1);
}

static void what_was_said_before_counts(void **state)
{
    (void)state;
    assert_int_equal(run_vm("ended"), 5);
}

static int set_up(void **state)
{
    char program[512];

    (void)state;
    if (!getenv("BULKHEAD_BIN") || !mkdtemp(dir) || setenv("BULKHEAD_RUNDIR", dir, 1) < 0)
        return -1;
    snprintf(program, sizeof program, "%s/bulkhead", getenv("BULKHEAD_BIN"));
    snprintf(vm, sizeof vm, "%s/vm", dir);
    snprintf(lock, sizeof lock, "%s/" RUNDIR_LOCK, vm);
    snprintf(cli, sizeof cli, "%s/bulkhead", dir);
    snprintf(broker, sizeof broker, "%s/bulkhead-broker", dir);
    if (mkdir(vm, 0700) < 0 || setenv("LOCK", lock, 1) < 0 || copy(program, cli) < 0 ||
        copy("/proc/self/exe", broker) < 0)
        return -1;
    return close(open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int tear_down(void **state)
{
    (void)state;
    unlink(cli);
    unlink(broker);
    unlink(lock);
    rmdir(vm);
    return rmdir(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_sees_an_end_that_a_copy_hides),
        cmocka_unit_test(what_was_said_before_counts),
    };

    (void)argc;
    if (strcmp(argv[0], "bulkhead-broker") == 0)
        return be_broker();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
