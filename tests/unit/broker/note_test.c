/* SPDX-License-Identifier: Apache-2.0 */
/* note_test.c - a user's word for a passt, from the opener to the spawner: what is asked for is what was noted, whoever
 * was there before, and nothing of it stays. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "fixture.h"
#include "run/seal.h"
#include "spawner/note.h"
#include "temp_dir.h"

static char dir[64], run_dir[80];
static struct rundir vm;

static int setup(void **state)
{
    struct fault f = { 0 };

    (void)state;
    rundir_init(&vm);
    if (!temp_dir(dir, sizeof dir, "bulkhead-note"))
        return -1;
    snprintf(run_dir, sizeof run_dir, "%s/vm", dir);
    return setenv("BULKHEAD_RUNDIR", dir, 1) == 0 && rundir_open(&vm, "vm", &f) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    rundir_close(&vm);
    return rmdir(dir); /* fails when anything is left */
}

/* As both sides make it of the same configuration. */
static struct spawner_slot passt(const char *forward)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT, *c = config_copy(&empty);
    Bulkhead__NetConfig *net = fixture_add_net(c, "user");
    struct spawner_slot slot;

    net->n_hostfwd = 1;
    net->hostfwd = malloc(sizeof *net->hostfwd);
    net->hostfwd[0] = strdup(forward);
    assert_int_equal(config_fill(c, "vm"), 0);
    seal_describe_passt(net, &slot);
    config_free(c);
    return slot;
}

static bool is_noted(void)
{
    struct stat st;

    return fstatat(vm.place.dir_fd, "net0-passt", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void writes(struct note *note, const struct spawner_slot *slot)
{
    struct fault f = { 0 };

    note_init(note);
    if (note_write(note, run_dir, slot, &f) < 0)
        fail_msg("%s", f.text);
    assert_true(is_noted());
}

static void asked_and_taken_once(void **state)
{
    struct spawner_slot wanted = passt("tcp:127.0.0.1:8022-:22"), said = wanted;
    struct note note;

    (void)state;
    assert_string_equal(wanted.name, "net0-passt");
    assert_int_equal(wanted.n_forwards, 1);
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    writes(&note, &wanted);
    said.memory_max = 1; /* not what a user says */
    said.pids_max = 2;
    assert_int_equal(note_take(&vm.place, &said), 0);
    assert_false(is_noted());
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    note_withdraw(&note);
}

static void another_one_is_refused_and_uses_it(void **state)
{
    struct spawner_slot wanted = passt("tcp:127.0.0.1:8022-:22"),
                        other = passt("tcp:127.0.0.1:8023-:22");
    struct note note;

    (void)state;
    writes(&note, &wanted);
    assert_int_equal(note_take(&vm.place, &other), -EPERM);
    assert_non_null(strstr(err_text(), "other ports"));
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    note_withdraw(&note);
}

static void withdrawn(void **state)
{
    struct spawner_slot wanted = passt("udp::53-:53");
    struct note note;

    (void)state;
    writes(&note, &wanted);
    note_withdraw(&note);
    assert_false(is_noted());
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    note_withdraw(&note); /* once more does nothing */
}

/* Its writer was killed: worth nothing, and in nobody's way. */
static void left_behind(void **state)
{
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct note note, next;

    (void)state;
    writes(&note, &wanted);
    fd_closep(&note.fd);
    writes(&next, &wanted);
    assert_int_equal(note_take(&vm.place, &wanted), 0);
    note_withdraw(&next);
    writes(&next, &wanted);
    fd_closep(&next.fd);
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    assert_non_null(strstr(err_text(), "is gone"));
    assert_false(is_noted());
    note_withdraw(&note);
    note_withdraw(&next);
}

/* The broker of a user's VM may read what that user may, and lock it for that: which keeps alive nobody's word. */
static void kept_by_a_reader(void **state)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct note note, next;
    int fd;

    (void)state;
    writes(&note, &wanted);
    fd = openat(vm.place.dir_fd, "net0-passt", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    fd_closep(&note.fd);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    assert_non_null(strstr(err_text(), "is gone"));
    close(fd);
    note_withdraw(&note);
    writes(&note, &wanted);
    fd = openat(vm.place.dir_fd, "net0-passt", O_RDONLY | O_CLOEXEC);
    fd_closep(&note.fd);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    writes(&next, &wanted); /* nor is it in the next one's way */
    assert_int_equal(note_take(&vm.place, &wanted), 0);
    close(fd);
    note_withdraw(&next);
    note_withdraw(&note);
}

/* Of somebody who is there: who comes later is told, and leaves it alone. */
static void two_at_once(void **state)
{
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct note note, other;
    struct fault f = { 0 };

    (void)state;
    writes(&note, &wanted);
    note_init(&other);
    assert_int_equal(note_write(&other, run_dir, &wanted, &f), -EINVAL);
    assert_non_null(strstr(f.text, "by another `bulkhead add`: try again"));
    note_withdraw(&other);
    assert_true(is_noted());
    assert_int_equal(note_take(&vm.place, &wanted), 0);
    note_withdraw(&note);
}

static void whatever_the_umask(void **state)
{
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct note note;
    mode_t mask = umask(0777);

    (void)state;
    writes(&note, &wanted);
    umask(mask);
    assert_int_equal(note_take(&vm.place, &wanted), 0);
    note_withdraw(&note);
}

/* Only its owner says what is in a VM's directory: root has no word there. Nor where another can put another in its
 * place. */
static void refused_in(int dir_fd)
{
    enum { OTHER_UID = 12345 };
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct fault f = { 0 };
    struct note note;

    note_init(&note);
    if (geteuid() == 0)
        assert_int_equal(fchown(dir_fd, OTHER_UID, OTHER_UID), 0);
    else
        assert_int_equal(fchmod(dir_fd, 0777), 0);
    assert_int_equal(note_write(&note, run_dir, &wanted, &f), -EINVAL);
    assert_non_null(strstr(f.text, "another user's VM"));
    note_withdraw(&note);
    assert_false(is_noted());
    assert_int_equal(fchown(dir_fd, geteuid(), getegid()), 0);
    assert_int_equal(fchmod(dir_fd, 0700), 0);
}

static void another_users_vm(void **state)
{
    (void)state;
    refused_in(vm.place.dir_fd);
    refused_in(vm.place.base_fd);
}

/* The broker's word for a name leads to nothing else there. */
static void no_other_file(void **state)
{
    struct spawner_slot wanted = passt("tcp::8022-:22");
    int fd = openat(vm.place.dir_fd, "other-file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    memset(wanted.name, 0, sizeof wanted.name);
    snprintf(wanted.name, sizeof wanted.name, "other-file");
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    assert_int_equal(unlinkat(vm.place.dir_fd, "other-file", 0), 0);
    memset(wanted.name, 'a', sizeof wanted.name); /* without an end */
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
}

static void no_vm(void **state)
{
    static const char *const names[] = { "other", "", ".", "..", "vm", "/vm", "/" };
    char beside[96], above[96], of_none[96];
    const char *paths[ARRAY_SIZE(names) + 3] = { beside, above, of_none };
    struct spawner_slot wanted = passt("tcp::8022-:22");

    (void)state;
    snprintf(beside, sizeof beside, "%s/other", dir);
    snprintf(above, sizeof above, "%s/..", run_dir);
    snprintf(of_none, sizeof of_none, "%s/", run_dir);
    memcpy(paths + 3, names, sizeof names);
    for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
        struct fault f = { 0 };
        struct note note;

        note_init(&note);
        assert_true(note_write(&note, paths[i], &wanted, &f) < 0);
        assert_true(f.text[0] != '\0');
        note_withdraw(&note);
    }
}

/* The VM ends meanwhile, whoever is first: nothing stays, and what the next VM has is not touched. */
static void the_vm_ends(void **state)
{
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct fault f = { 0 };
    struct note note;
    char path[96];

    (void)state;
    writes(&note, &wanted);
    rundir_close(&vm); /* with the note */
    snprintf(path, sizeof path, "%s/vm", dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rundir_open(&vm, "vm", &f), 0);
    note_withdraw(&note);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(note_take(&vm.place, &wanted), -EPERM);
    rundir_close(&vm);
    /* It was written when all else was gone. */
    assert_int_equal(mkdir(path, 0700), 0);
    note_init(&note);
    assert_int_equal(note_write(&note, run_dir, &wanted, &f), 0);
    note_withdraw(&note);
    assert_int_equal(access(path, F_OK), -1);
    rundir_init(&vm);
    assert_int_equal(rundir_open(&vm, "vm", &f), 0);
}

/* All were killed: the next VM of that name begins without what they left. */
static void of_a_vm_before(void **state)
{
    struct spawner_slot wanted = passt("tcp::8022-:22");
    struct fault f = { 0 };
    struct note note;

    (void)state;
    writes(&note, &wanted);
    rundir_forget(&vm);
    rundir_init(&vm);
    assert_int_equal(rundir_open(&vm, "vm", &f), 0);
    assert_false(is_noted());
    note_withdraw(&note);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_and_taken_once),
        cmocka_unit_test(another_one_is_refused_and_uses_it),
        cmocka_unit_test(withdrawn),
        cmocka_unit_test(left_behind),
        cmocka_unit_test(kept_by_a_reader),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(whatever_the_umask),
        cmocka_unit_test(another_users_vm),
        cmocka_unit_test(no_other_file),
        cmocka_unit_test(no_vm),
        cmocka_unit_test(the_vm_ends),
        cmocka_unit_test(of_a_vm_before),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
