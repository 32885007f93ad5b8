/* SPDX-License-Identifier: Apache-2.0 */
/* notes_test.c - a real starter, and a tenant who adds a user network to his VM: it writes down what the VM's spawner is to see, if
 * that tenant may have one, and for as long as somebody is there who asked. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "spawner/note.h"
#include "starter_rig.h"
#include <cmocka.h>

static const struct spawner_slot net1 = { .role = BULKHEAD__ROLE__ROLE_PASST,
                                          .name = "net1-passt",
                                          .mtu = 1400 };

static void describe(const struct spawner_slot *slot, uint8_t bytes[NOTE_BYTES])
{
    struct fault f = { 0 };

    if (note_describe(slot, bytes, &f) < 0)
        fail_msg("%s", f.text);
}

/* Who keeps it ends in its own time. */
static void await_withdrawn(const struct starter_rig *rig)
{
    for (int ms = 0; ms < RIG_PATIENCE_MS && rig_exists(rig, "run/vms/acme/web/net1-passt"); ms++)
        (void)poll(NULL, 0, 1);
    assert_false(rig_exists(rig, "run/vms/acme/web/net1-passt"));
}

static int take(const struct starter_rig *rig)
{
    struct rundir_place place;
    struct fault f = { 0 };
    char path[160];
    int r;

    snprintf(path, sizeof path, "%s/run/vms/acme/web", rig->dir);
    rundir_place_init(&place);
    r = rundir_visit(&place, path, &f);
    if (r == 0)
        r = note_take(&place, &net1);
    rundir_leave(&place);
    return r;
}

static int note_again(struct starter_rig *rig, const uint8_t bytes[NOTE_BYTES])
{
    int error = EBUSY;

    for (int ms = 0; ms < RIG_PATIENCE_MS && error == EBUSY; ms++) {
        error = rig_note(rig, "acme", "web", bytes, NOTE_BYTES);
        (void)poll(NULL, 0, error == EBUSY);
    }
    return error;
}

static void it_counts_while_he_is_there(void **state)
{
    struct starter_rig *rig = rig_new();
    uint8_t bytes[NOTE_BYTES];
    unsigned n_fds;
    int fd;

    (void)state;
    describe(&net1, bytes);
    rig_write_tenant_with(rig, "acme", true);
    rig_start(rig);
    assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
    n_fds = rig_count_fds(rig);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), 0);
    assert_int_equal(rig->n_fds, 1);
    fd = rig->fds[0];
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), EBUSY);
    assert_int_equal(take(rig), 0);
    assert_int_equal(take(rig), -EPERM); /* once */
    close(fd);

    assert_int_equal(note_again(rig, bytes), 0);
    assert_true(rig_exists(rig, "run/vms/acme/web/net1-passt"));
    close(rig->fds[0]); /* he is gone before it was used */
    await_withdrawn(rig);
    assert_int_equal(take(rig), -EPERM);

    assert_int_equal(note_again(rig, bytes), 0);
    assert_int_equal(write(rig->fds[0], "x", 1), 1); /* nothing is read of him */
    await_withdrawn(rig);
    close(rig->fds[0]);
    assert_int_equal(note_again(rig, bytes), 0); /* the one before has ended */
    close(rig->fds[0]);
    await_withdrawn(rig);
    for (int ms = 0; ms < RIG_PATIENCE_MS && rig_count_fds(rig) > n_fds; ms++)
        (void)rig_ask(rig, STARTER_PING, "", "");
    assert_true(rig_count_fds(rig) <= n_fds);
    rig_quit(rig, "acme", "web");
    rig_free(rig);
}

static void what_is_none(void **state)
{
    struct starter_rig *rig = rig_new();
    struct spawner_slot other = net1;
    uint8_t bytes[NOTE_BYTES];

    (void)state;
    rig_write_tenant_with(rig, "acme", true);
    rig_start(rig);
    describe(&net1, bytes);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes),
                     ENOENT); /* it doesn't run */
    assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
    assert_int_equal(rig_note(rig, "beta", "web", bytes, sizeof bytes), ENOENT);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes - 1), EINVAL);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, 0), EINVAL);
    /* The name of another file, or way. */
    memcpy(bytes + NOTE_BYTES - SPAWNER_NAME_BYTES, "lock", 5);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), EINVAL);
    memcpy(bytes + NOTE_BYTES - SPAWNER_NAME_BYTES, "../x-passt", 11);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), EINVAL);
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), EINVAL);
    /* One with other ports than the broker asks for is worth nothing: take() says so. */
    other.mtu = 9000;
    describe(&other, bytes);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), 0);
    assert_int_equal(take(rig), -EPERM);
    close(rig->fds[0]);
    rig_quit(rig, "acme", "web");
    rig_free(rig);
}

static void who_may_have_none(void **state)
{
    struct starter_rig *rig = rig_new();
    uint8_t bytes[NOTE_BYTES];

    (void)state;
    describe(&net1, bytes);
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
    assert_int_equal(rig_note(rig, "acme", "web", bytes, sizeof bytes), EPERM);
    assert_false(rig_exists(rig, "run/vms/acme/web/net1-passt"));
    rig_quit(rig, "acme", "web");
    rig_free(rig);
}

/* The host's own writes it himself: what hostd says in his name counts for nothing. */
static void not_for_the_hosts_own(void **state)
{
    struct starter_rig *rig = rig_new();
    const char *own = geteuid() == 0 ? "host" : "user";
    uint8_t bytes[NOTE_BYTES];

    (void)state;
    describe(&net1, bytes);
    rig_start(rig);
    assert_int_equal(rig_run(rig, own, "web", NULL, 0), 0);
    assert_int_equal(rig_note(rig, own, "web", bytes, sizeof bytes), EPERM);
    rig_quit(rig, own, "web");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_while_he_is_there),
        cmocka_unit_test(what_is_none),
        cmocka_unit_test(who_may_have_none),
        cmocka_unit_test(not_for_the_hosts_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
