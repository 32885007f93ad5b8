/* SPDX-License-Identifier: Apache-2.0 */
/* keeping_test.c - no more is kept than the service has room for, whatever hostd says; and a disk that takes its time keeps nobody
 * waiting but who asked for it: fsync() is this file's. */
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
#include <unistd.h>
#include "base/compiler.h"
#include "starter_rig.h"
#include <cmocka.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);

/* As long as there is such a file. The starter is a fork of this test. */
int __wrap_fsync(int fd)
{
    const char *slow = getenv("SLOW_DISK");

    while (slow && access(slow, F_OK) == 0)
        (void)poll(NULL, 0, 5);
    return __real_fsync(fd);
}

static void test_no_more_than_he_may(void **state)
{
    struct starter_rig *rig = rig_new();
    int channel = -1;
    char name[16];

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_save(rig, "nobody", "web", "spec", 4), ENOENT);
    assert_false(rig_exists(rig, "state/vms/nobody"));
    for (unsigned i = 0; i < RIG_QUOTA; i++) {
        snprintf(name, sizeof name, "vm%u", i);
        assert_int_equal(rig_save(rig, "acme", name, "spec", 4), 0);
    }
    assert_int_equal(rig_save(rig, "acme", "more", "spec", 4), EDQUOT);
    assert_int_equal(rig_ask_start(rig, "acme", "more", &channel), EDQUOT);
    close(channel);
    assert_false(rig_exists(rig, "state/vms/acme/more")); /* nor logs of it */
    assert_int_equal(rig_save(rig, "acme", "vm0", "other", 5), 0);
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "vm0"), 0);
    assert_int_equal(rig_save(rig, "acme", "more", "spec", 4), 0);
    rig_free(rig);
}

static void test_a_slow_disk(void **state)
{
    struct starter_request remove = { .kind = STARTER_REMOVE, .vm = "web", .tenant = "acme" };
    struct starter_rig *rig = rig_new();
    char slow[128];
    int channel = -1;

    (void)state;
    snprintf(slow, sizeof slow, "%s/slow", rig->dir);
    assert_int_equal(setenv("SLOW_DISK", slow, 1), 0);
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_save(rig, "acme", "web", "spec", 4), 0);
    rig_write(rig, "slow", "", 0, 0600);
    remove.id = ++rig->id;
    rig_send(rig, &remove, NULL, 0, NULL, 0);
    assert_int_equal(rig_ask(rig, STARTER_PING, "", ""), 0); /* and that is not answered */
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "web"), EBUSY);
    assert_int_equal(rig_ask_start(rig, "acme", "web", &channel), EBUSY);
    close(channel);
    assert_int_equal(unlink(slow), 0);
    assert_true(rig_hear(rig, remove.id));
    assert_int_equal(rig->done.error, 0);
    assert_false(rig_exists(rig, "state/vms/acme"));
    rig_free(rig);
}

static void send_only(struct starter_rig *rig, uint32_t kind, const char *vm)
{
    struct starter_request q = { .kind = kind, .id = ++rig->id, .tenant = "acme" };

    snprintf(q.vm, sizeof q.vm, "%s", vm);
    q.len = kind == STARTER_SAVE ? 4 : 0;
    rig_send(rig, &q, "spec", q.len, NULL, 0);
}

/* Whoever writes for a dead starter keeps no end of its socket. */
static void test_hostd_sees_the_starters_end(void **state)
{
    static const uint32_t kinds[] = { STARTER_SAVE, STARTER_REMOVE };
    char slow[128];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct starter_rig *rig = rig_new();
        struct pollfd end = { .events = POLLIN };

        snprintf(slow, sizeof slow, "%s/slow", rig->dir);
        assert_int_equal(setenv("SLOW_DISK", slow, 1), 0);
        rig_write_tenant(rig, "acme");
        rig_start(rig);
        assert_int_equal(rig_save(rig, "acme", "web", "spec", 4), 0);
        rig_write(rig, "slow", "", 0, 0600);
        send_only(rig, kinds[i], "web");
        assert_int_equal(rig_ask(rig, STARTER_PING, "", ""), 0); /* it has begun */
        assert_int_equal(kill(rig->pid, SIGKILL), 0);
        end.fd = rig->fd;
        assert_int_equal(poll(&end, 1, RIG_PATIENCE_MS), 1);
        assert_true(end.revents & POLLHUP);
        assert_int_equal(unlink(slow), 0);
        rig_kill(rig);
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_than_he_may),
        cmocka_unit_test(test_a_slow_disk),
        cmocka_unit_test(test_hostd_sees_the_starters_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
