/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c - each worker's program, taken over, in its real sandbox: it tries everything in
 * the tables of hostile.h, one action a life. None may succeed. The same program without its
 * sandbox shows that the actions are real: there most of them succeed. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include "hostile.h"
#include "roles.h"
#include <cmocka.h>

#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                                \
     1ull << VIRTIO_RING_F_INDIRECT_DESC)

enum verdict { KILLED, ERRNO, REFUSED, SUCCEEDED, ODD, WORKED, VERDICTS };

struct tally {
    unsigned tried, of[VERDICTS];
};

static struct hostile_box *box_of(const struct wh *wh)
{
    return (struct hostile_box *)(void *)((uint8_t *)wh->stats + HOSTILE_BOX_OFFSET);
}

/* A kernel may be told to have no 32-bit system calls (ia32_emulation=0): then their instruction faults
 * in any process, with or without a filter. */
static bool int80_faults(void)
{
    static int faults = -1;
    int status = 0;
    pid_t pid;

    if (faults >= 0)
        return faults;
    pid = fork();
    if (pid == 0) {
        long r;

        signal(SIGSEGV, SIG_DFL);
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
        _exit(0);
    }
    faults = pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
             WTERMSIG(status) == SIGSEGV;
    return faults;
}

static enum verdict judge(const struct wh *wh, const struct hostile_box *box, int status)
{
    if (wh->refused)
        return REFUSED;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && box->state == HOSTILE_TRYING)
        return KILLED;
    if (strncmp(box->name, "int80-", 6) == 0 && WIFSIGNALED(status) &&
        WTERMSIG(status) == SIGSEGV && int80_faults())
        return ERRNO;
    if (box->kind == HOSTILE_CONTROL)
        return box->state == HOSTILE_DONE ? WORKED : ODD;
    /* No completion is no refusal. */
    if (box->kind == HOSTILE_RING && (box->error == ETIME || box->error == ENOSYS))
        return ODD;
    if (box->state == HOSTILE_DENIED)
        return ERRNO;
    return box->state == HOSTILE_SUCCEEDED ? SUCCEEDED : ODD;
}

/* One life, one action. *ret_box: what it left; its n_actions says how many there are. */
static enum verdict live(unsigned which, unsigned index, enum hostile_mode mode, bool active,
                         struct hostile_box *ret_box)
{
    struct message msg = { 0 };
    struct role role;
    struct hostile_box *box;
    enum verdict verdict;
    int status = 0;

    role_new(&role, which, NULL);
    box = box_of(role.wh);
    *box = (struct hostile_box){
        .magic = HOSTILE_MAGIC, .mode = mode, .at_once = active ? 2 : 1, .next = index
    };
    if (wh_try_start(role.wh) == 0 && active)
        wh_activate(role.wh, FEATURES, false);
    while (!role.wh->refused && wh_try_receive(role.wh, &msg) == 0)
        ;
    /* An empty datagram reads as the end of the connection: the broker ends who is still there. */
    if (box->kind == HOSTILE_MESSAGE && box->state == HOSTILE_TRYING)
        role.wh->refused = true;
    if (!role.wh->refused)
        status = wh_wait_exit(role.wh);
    verdict = judge(role.wh, box, status);
    *ret_box = *box;
    role_free(&role);
    return verdict;
}

/* All kinds of a program's table, from a life that tries nothing. */
static void look(unsigned which, struct hostile_box *ret_box)
{
    struct role role;
    struct hostile_box *box;

    role_new(&role, which, NULL);
    box = box_of(role.wh);
    *box = (struct hostile_box){ .magic = HOSTILE_MAGIC, .at_once = 2 };
    wh_start(role.wh);
    *ret_box = *box;
    role_free(&role);
}

static void count(struct tally *t, enum verdict verdict, const char *role, const char *how,
                  const struct hostile_box *box)
{
    t->tried += verdict != WORKED;
    t->of[verdict]++;
    if (verdict == SUCCEEDED || verdict == ODD)
        print_message("%s: %s %s%s\n", role, box->name,
                      verdict == ODD ? "ended in no known way" : "SUCCEEDED", how);
}

static const char *const names[ROLES_N] = { "rng",   "blk",     "console",     "net",
                                            "vsock", "balloon", "net at a tap" };

static void one_role(unsigned which)
{
    struct hostile_box all, box;
    struct tally t = { 0 };

    if (!role_possible(which))
        skip();
    look(which, &all);
    for (unsigned i = 0; i < all.n_actions; i++) {
        unsigned kind = all.kinds[i];

        if (kind == HOSTILE_SYSCALL || kind == HOSTILE_RING || kind == HOSTILE_CONTROL) {
            count(&t, live(which, i, HOSTILE_CAGED, false, &box), names[which], "", &box);
        } else if (kind == HOSTILE_MESSAGE) {
            count(&t, live(which, i, HOSTILE_CAGED, false, &box), names[which], " when ready",
                  &box);
            count(&t, live(which, i, HOSTILE_CAGED, true, &box), names[which], " when active",
                  &box);
        }
    }
    print_message("%-12s %u actions: %u killed by seccomp, %u refused by errno, "
                  "%u refused as messages, %u succeeded\n",
                  names[which], t.tried, t.of[KILLED], t.of[ERRNO], t.of[REFUSED], t.of[SUCCEEDED]);
    assert_int_equal(t.of[SUCCEEDED], 0);
    assert_int_equal(t.of[ODD], 0);
    assert_true(t.tried >= 60);
    assert_true(t.of[KILLED] >= 60);
}

static void nothing_succeeds(void **state)
{
    one_role(*(const unsigned *)*state);
}

static void no_lie_in_hello_is_taken(void **state)
{
    static const char *const lies[] = { "hello-role", "hello-no-role", "hello-garbage",
                                        "hello-ready", "hello-fds" };

    (void)state;
    for (unsigned which = 0; which < ROLE_AT_A_TAP; which++)
        for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
            struct role role;

            role_new(&role, which, lies[i]);
            assert_int_equal(wh_try_start(role.wh), -1);
            assert_true(role.wh->refused);
            role_free(&role);
        }
}

/* Not everything odd is refused: a build id is a name, whatever it says. */
static void a_build_id_is_only_a_name(void **state)
{
    struct role role;

    (void)state;
    role_new(&role, 0, "hello-build-id");
    wh_start(role.wh);
    assert_int_equal(WEXITSTATUS(wh_stop(role.wh)), 0);
    role_free(&role);
}

/* The control: what the actions are worth where nothing holds them. */
static void control(enum hostile_mode mode, struct tally *t)
{
    struct hostile_box all, box;

    look(0, &all);
    for (unsigned i = 0; i < all.n_actions; i++) {
        enum verdict verdict;

        if (all.kinds[i] != HOSTILE_SYSCALL)
            continue;
        verdict = live(0, i, mode, false, &box);
        t->tried++;
        t->of[verdict]++;
        if (getenv("HOSTILE_VERBOSE"))
            print_message("  %s: %d %d\n", box.name, (int)verdict, box.error);
    }
}

static void without_a_sandbox_they_succeed(void **state)
{
    struct tally t = { 0 };

    (void)state;
    control(HOSTILE_OPEN, &t);
    print_message("no sandbox: %u actions, %u succeeded\n", t.tried, t.of[SUCCEEDED]);
    assert_int_equal(t.of[KILLED], 0);
    assert_true(t.of[SUCCEEDED] >= 60);
}

static void without_a_filter_other_layers_hold(void **state)
{
    struct tally t = { 0 };

    (void)state;
    control(HOSTILE_BARE, &t);
    print_message("no filter: %u actions, %u refused by the other layers, %u succeeded\n", t.tried,
                  t.of[ERRNO], t.of[SUCCEEDED]);
    assert_int_equal(t.of[KILLED], 0);
    assert_true(t.of[ERRNO] >= 40);
}

int main(void)
{
    static unsigned which[ROLES_N] = { 0, 1, 2, 3, 4, 5, ROLE_AT_A_TAP };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(nothing_succeeds, &which[0]),
        cmocka_unit_test_prestate(nothing_succeeds, &which[1]),
        cmocka_unit_test_prestate(nothing_succeeds, &which[2]),
        cmocka_unit_test_prestate(nothing_succeeds, &which[3]),
        cmocka_unit_test_prestate(nothing_succeeds, &which[4]),
        cmocka_unit_test_prestate(nothing_succeeds, &which[5]),
        cmocka_unit_test_prestate(nothing_succeeds, &which[6]),
        cmocka_unit_test(no_lie_in_hello_is_taken),
        cmocka_unit_test(a_build_id_is_only_a_name),
        cmocka_unit_test(without_a_sandbox_they_succeed),
        cmocka_unit_test(without_a_filter_other_layers_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
