/* SPDX-License-Identifier: Apache-2.0 */
/* console_test.c - what the broker gives a console's worker, and keeps of it. */
#include <fcntl.h>
#include <pty.h>
#include <unistd.h>
#include "rig.h"

static struct child *console(struct rig *rig)
{
    return rig_device(rig, BULKHEAD__ROLE__ROLE_CONSOLE)->worker;
}

static void say_escape(struct rig *rig)
{
    Bulkhead__ConsoleEscape escape = BULKHEAD__CONSOLE_ESCAPE__INIT;
    ENVELOPE(e, CONSOLE_ESCAPE, console_escape, &escape);

    rig_say(rig, console(rig), &e);
}

/* What comes through a pipe was typed by nobody, whatever bytes it has. */
static void keys_are_a_terminals(void **state)
{
    static struct rig rig;
    int in[2], out[2], master, slave;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    rig_run_console(&rig, 5, NULL, (int[]){ in[0], out[1] });
    assert_false(rig.console_escape);
    say_escape(&rig);
    assert_true(console(&rig)->killing);
    assert_false(rig.vm.ended);
    rig_end(&rig);

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    rig_run_console(&rig, 5, NULL, (int[]){ slave, out[1] });
    assert_true(rig.console_escape);
    say_escape(&rig);
    assert_true(rig.vm.ended && rig.vm.end_by_user);
    rig_end(&rig);
    close(master);
    close(slave);
    for (unsigned i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keys_are_a_terminals) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
