// SPDX-License-Identifier: Apache-2.0
// test_private.c - verbs of the host's service, and VMs of `run`: stop, wait and ls know both.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_broker.h"

static void send_ended(struct channel *channel, Bulkhead__GuestStateKind state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;

    ended.state = state;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED;
    e.vm_ended = &ended;
    assert_int_equal(channel_send_raw(channel, &e.base, NULL, 0, true), 0);
}

/* The guest ends by itself; or its button is of no use, and it is ended. */
static void test_stop_with_grace(void **state)
{
    struct fake_broker *f = *state;
    struct channel *channel;

    for (unsigned i = 0; i < 2; i++) {
        uint32_t button;

        fake_broker_start(f, "stop alpha --grace 600");
        channel = fake_broker_accept_client(f);
        fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE);
        button = fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_PRESS_POWER_BUTTON);
        fake_broker_reply(channel, button, i == 0 ? 0 : EBUSY, i > 0, "");
        if (i == 0)
            send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
        if (i > 0) {
            struct channel *second = fake_broker_accept_client(f);

            fake_broker_reply(second,
                              fake_broker_expect(second, BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM),
                              0, false, "");
            assert_int_equal(fake_broker_finish(f), 0);
            channel_free(second);
        } else {
            assert_int_equal(fake_broker_finish(f), 0);
        }
        channel_free(channel);
        assert_string_equal(f->text, i == 0 ? "alpha: shut down\n" : "alpha: stopped\n");
    }
}

/* Over its broker's death. */
static void test_wait(void **state)
{
    struct fake_broker *f = *state;
    struct channel *channel;

    fake_broker_start(f, "wait alpha");
    channel = fake_broker_accept_client(f);
    fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE);
    channel_free(channel);
    channel = fake_broker_accept_client(f);
    fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE);
    send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    assert_int_equal(fake_broker_finish(f), 4);
    channel_free(channel);
    assert_string_equal(f->text, "alpha: rebooted\n");
}

/* VMs of `run` are there too, and are no business of the service's. */
static void test_ls(void **state)
{
    static const char *const others[] = { "start alpha", "reboot alpha", "rm alpha",
                                          "console alpha", "logs alpha" };
    struct fake_broker *f = *state;
    struct family family = fake_broker_start_family(f, true);
    struct channel *channel;

    fake_broker_start(f, "ls");
    channel = fake_broker_accept_client(f);
    fake_broker_answer_list(channel, 2, &family);
    assert_int_equal(fake_broker_finish(f), 0);
    channel_free(channel);
    fake_broker_end_family(f, &family);
    assert_non_null(strstr(f->text, "NAME   STATE    VCPUS  MEMORY  DEVICES"));
    assert_non_null(strstr(f->text, "alpha  running      -    512M  2 disks, 0 nets"));
    assert_non_null(strstr(f->text, "(private)\n"));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        fake_broker_start(f, others[i]);
        assert_int_equal(fake_broker_finish(f), 2);
        assert_non_null(strstr(f->text, "bulkhead: 'alpha' is a VM of bulkhead run"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stop_with_grace, fake_broker_setup,
                                        fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_wait, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_ls, fake_broker_setup, fake_broker_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
