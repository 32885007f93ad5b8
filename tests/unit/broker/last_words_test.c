/* SPDX-License-Identifier: Apache-2.0 */
/* last_words_test.c - what a child said before it was gone is heard to the end. */
#include <fcntl.h>
#include <unistd.h>
#include "config/config.h"
#include "rig.h"

/* On its control socket: after more messages than the broker takes in a turn, why it failed. */
static void messages(void **state)
{
    static struct rig rig;
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    ENVELOPE(noise, CONFIG_UPDATE, config_update, &update);
    ENVELOPE(e, FAILED, failed, &failed);
    struct device *d;
    uint8_t byte = 0;
    char what[] = "out of paper";

    (void)state;
    rig_run(&rig, 5);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_BALLOON);
    update.data = (ProtobufCBinaryData){ .len = 1, .data = &byte };
    for (unsigned i = 0; i < 100; i++)
        rig_queue(&rig, d->worker, &noise);
    failed.what = what;
    rig_queue(&rig, d->worker, &e);
    rig_exit(&rig, d->worker);
    assert_non_null(strstr(d->last_reason, what));
    rig_end(&rig);
}

/* In its log: behind as much as a pipe holds, and without the end of a line. */
static void log_lines(void **state)
{
    static const char last[] = "fatal: out of ink";
    char line[64];
    struct log_relay *relay;
    struct loop *loop;
    int pipes[2];

    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(log_relay_new(&relay, loop, pipes[0], "child"), 0);
    log_relay_set_quiet(relay, true);
    memset(line, '.', sizeof line);
    line[sizeof line - 1] = '\n';
    for (unsigned i = 0; i < 60 * 1024 / sizeof line; i++)
        assert_int_equal(write(pipes[1], line, sizeof line), sizeof line);
    assert_int_equal(write(pipes[1], last, sizeof last - 1), sizeof last - 1);
    close(pipes[1]);
    log_relay_end(relay);
    assert_string_equal(log_relay_last(relay), last);
    log_relay_free(relay);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(log_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
