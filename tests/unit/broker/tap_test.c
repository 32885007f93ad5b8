/* SPDX-License-Identifier: Apache-2.0 */
/* tap_test.c - a tap with several queues belongs to one VM, also when two start at once. In a
 * network namespace of its own, which goes with the test. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/backend.h"
#include "devices/net.h"
#include "fixture.h"
#include "resources/open.h"

/* A VM that is refused has waited for RESOURCES_PATIENCE_MS; so many taps are fought for at once.
 */
enum { TAPS = 20, ROUNDS = 10, RIVALS = 2, QUEUES = 4 };

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int group_setup(void **state)
{
    uid_t uid = geteuid();
    char map[32];

    (void)state;
    if (uid == 0)
        return unshare(CLONE_NEWNET);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return -1;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
    write_file("/proc/self/uid_map", map);
    return 0;
}

static void make_tap(const char *name)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    snprintf(req.ifr_name, sizeof req.ifr_name, "%.15s", name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
    close(fd);
}

static int open_tap(const char *name, struct backend *b, struct fault *f)
{
    Bulkhead__NetConfig n = BULKHEAD__NET_CONFIG__INIT;
    char id[] = "net0", mode[] = "tap";
    int r;

    n.id = id;
    n.mode = mode;
    n.tap = strdup(name); /* replaced by its name */
    n.num_queues = QUEUES;
    backend_init(b);
    r = resources_net(&n, NULL, 0, b, f);
    free(n.tap);
    return r;
}

/* Waits for "go", tries, says "y", "n" or "?", and keeps what it has until its pipe is closed. */
static _Noreturn void rival(const char *name, int go, int say)
{
    char byte;

    while (read(go, &byte, 1) == 1) {
        struct fault f = { 0 };
        struct backend b;
        int r = open_tap(name, &b, &f);

        byte = r == 0 && b.n_own == QUEUES / 2 ? 'y' : strstr(f.text, "is taken by") ? 'n' : '?';
        if (write(say, &byte, 1) != 1 || read(go, &byte, 1) != 1)
            break;
        backend_deinit(&b);
        if (write(say, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

struct contest {
    char name[16];
    int go[RIVALS], heard[RIVALS];
    pid_t pids[RIVALS];
};

static void begin(struct contest *c, unsigned number, bool persistent)
{
    snprintf(c->name, sizeof c->name, "bhtest%u", number);
    if (persistent)
        make_tap(c->name);
    for (unsigned i = 0; i < RIVALS; i++) {
        int go[2], say[2];

        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        assert_int_equal(pipe2(say, O_CLOEXEC), 0);
        c->pids[i] = fork();
        assert_true(c->pids[i] >= 0);
        if (c->pids[i] == 0) {
            close(go[1]);
            rival(c->name, go[0], say[1]);
        }
        close(go[0]);
        close(say[1]);
        c->go[i] = go[1];
        c->heard[i] = say[0];
    }
}

static void tell(const struct contest *contests)
{
    for (unsigned t = 0; t < TAPS; t++)
        for (unsigned i = 0; i < RIVALS; i++)
            assert_int_equal(write(contests[t].go[i], "g", 1), 1);
}

static void check_winners(const struct contest *contests, unsigned *n_shared, unsigned *n_none)
{
    for (unsigned t = 0; t < TAPS; t++) {
        unsigned n = 0;

        for (unsigned i = 0; i < RIVALS; i++) {
            char byte = 0;

            assert_int_equal(read(contests[t].heard[i], &byte, 1), 1);
            assert_true(byte == 'y' || byte == 'n');
            n += byte == 'y';
        }
        *n_shared += n > 1;
        *n_none += n == 0;
    }
}

static void await_released(const struct contest *contests)
{
    char byte;

    for (unsigned t = 0; t < TAPS; t++)
        for (unsigned i = 0; i < RIVALS; i++)
            assert_int_equal(read(contests[t].heard[i], &byte, 1), 1);
}

static void race(bool persistent)
{
    static struct contest contests[TAPS];
    unsigned n_shared = 0, n_none = 0;

    for (unsigned t = 0; t < TAPS; t++)
        begin(&contests[t], persistent ? t : TAPS + t, persistent);
    for (int round = 0; round < ROUNDS; round++) {
        tell(contests);
        check_winners(contests, &n_shared, &n_none);
        tell(contests);
        await_released(contests);
    }
    for (unsigned t = 0; t < TAPS; t++)
        for (unsigned i = 0; i < RIVALS; i++) {
            close(contests[t].go[i]);
            close(contests[t].heard[i]);
        }
    /* Each has the pipes of those before it: all are closed before the first is waited for. */
    for (unsigned t = 0; t < TAPS; t++)
        for (unsigned i = 0; i < RIVALS; i++)
            assert_int_equal(waitpid(contests[t].pids[i], NULL, 0), contests[t].pids[i]);
    if (n_shared > 0 || n_none > 0)
        fail_msg("of %u taps %u were shared, %u nobody's", TAPS * ROUNDS, n_shared, n_none);
}

static void test_one_of_two_gets_a_tap(void **state)
{
    (void)state;
    race(true);
}

/* The interface is made by whoever comes first. */
static void test_one_of_two_makes_a_tap(void **state)
{
    (void)state;
    race(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_two_gets_a_tap),
        cmocka_unit_test(test_one_of_two_makes_a_tap),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
