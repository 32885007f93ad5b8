/* SPDX-License-Identifier: Apache-2.0 */
/* give_test.c - a real starter that has a device opened for a VM that runs. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "starter_rig.h"
// cmocka wants the ones above
#include <cmocka.h>

/* A device for one that runs: a launcher as at its start, with the tenant's rights and trees, a session with the VM's broker and no
 * console; one at a time. */
static void test_give(void **state)
{
    struct starter_rig *rig = rig_new();
    char at_start[8192], now[8192];
    int channel = -1, other, error;
    ssize_t n;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_ask_give(rig, "acme", "web", &channel), ENOENT);
    close(channel);
    assert_int_equal(rig_save(rig, "acme", "web", "spec", 4), 0);
    assert_int_equal(rig_run(rig, "acme", "web", at_start, sizeof at_start), 0);
    for (int ms = 0; (error = rig_ask_give(rig, "acme", "web", &channel)) == EAGAIN; ms++) {
        assert_true(ms < RIG_PATIENCE_MS); /* the one of the start leaves */
        close(channel);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(error, 0);
    n = recv(channel, now, sizeof now - 1, 0);
    assert_true(n > 0);
    now[n] = '\0';
    assert_non_null(strstr(now, "fd 4 140000 ")); /* a socket: its broker's */
    assert_non_null(strstr(now, "fd 5 20000 "));  /* no socket: /dev/null */
    assert_string_equal(strstr(now, "Gid:"), strstr(at_start, "Gid:"));
    assert_int_equal(rig_ask_give(rig, "acme", "web", &other), EAGAIN);
    close(other);
    close(channel);
    rig_quit(rig, "acme", "web");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_give),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
