/* SPDX-License-Identifier: Apache-2.0 */
/* tap_options_test.c - what the broker finds out about taps, in a network namespace of the test's own. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "config/config.h"
#include "devices/backend.h"
#include "devices/net.h"
#include "fixture.h"
#include "resources/open.h"
#include "resources/tap.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_broker.h"

enum { KEEP = 1 };

/* An interface with nobody at it, as `ip tuntap add` leaves it. */
static void make(const char *name, short flags)
{
    struct ifreq req = { .ifr_flags = (short)(flags | IFF_NO_PI | IFF_VNET_HDR) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, KEEP), 0);
    close(fd);
}

static void destroy(const char *name, short flags)
{
    struct ifreq req = { .ifr_flags = (short)(flags | IFF_NO_PI | IFF_VNET_HDR) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
    close(fd);
}

static int open_it(const char *name, unsigned num_queues, struct backend *b, struct fault *f)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);
    Bulkhead__NetConfig *n = fixture_add_net(c, "tap");
    int r;

    fixture_text(&n->tap, name);
    fixture_text(&n->id, "net0");
    n->num_queues = num_queues;
    backend_init(b);
    *f = (struct fault){ 0 };
    r = resources_net(n, NULL, 0, b, f);
    config_free(c);
    return r;
}

/* Each line says what would do instead. */
static void the_right_number_of_queues(void **state)
{
    static const struct {
        const char *tap;
        unsigned num_queues;
        const char *says; /* NULL: it works */
    } cases[] = {
        { "many", 2, "many has multi_queue, for two pairs of queues or more: num_queues=4 fits" },
        { "many", 4, NULL },
        { "one", 4, "one has no multi_queue: num_queues=2 fits" },
        { "one", 2, NULL },
        { "tun", 2, "tun exists but is not a tap" },
        { "lo", 2, "lo exists but is not a tap" },
    };

    (void)state;
    make("many", IFF_TAP | IFF_MULTI_QUEUE);
    make("one", IFF_TAP);
    make("tun", IFF_TUN);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct backend b;
        struct fault f;
        int r = open_it(cases[i].tap, cases[i].num_queues, &b, &f);

        if ((r == 0) != (cases[i].says == NULL))
            fail_msg("case %zu: %d %s", i, r, f.text);
        if (cases[i].says && !strstr(f.text, cases[i].says))
            fail_msg("case %zu says: %s", i, f.text);
        backend_deinit(&b);
    }
    destroy("many", IFF_TAP | IFF_MULTI_QUEUE);
    destroy("one", IFF_TAP);
    destroy("tun", IFF_TUN);
}

/* What it takes is found out here, and left off. */
static void offloads(void **state)
{
    struct backend b;
    struct fault f;

    (void)state;
    assert_int_equal(open_it("", 2, &b, &f), 0);
    assert_int_equal(b.tap_offloads & (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6),
                     TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
    backend_deinit(&b);
}

static bool is_there(const char *name)
{
    return if_nametoindex(name) != 0;
}

/* The interface is deleted under its descriptors, as `ip link delete` does. */
static void delete_under(const char *name)
{
    char command[80];

    snprintf(command, sizeof command, "ip link delete %s", name);
    assert_int_equal(system(command), 0);
    assert_false(is_there(name));
}

/* The kernel tells of a carrier a little later. */
static void await_carrier(const char *name, bool on)
{
    struct ifreq req = { 0 };
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    for (;;) {
        assert_int_equal(ioctl(sock, SIOCGIFFLAGS, &req), 0);
        if (!(req.ifr_flags & IFF_RUNNING) == !on)
            break;
        resources_wait_a_little();
    }
    close(sock);
}

/* As the broker does it: after it has given up all else. */
static int in_the_sandbox(int (*what)(const Bulkhead__NetConfig *n, const struct backend *b),
                          const Bulkhead__NetConfig *n, const struct backend *b)
{
    const struct sandbox_broker rights = { .readable = { -1, -1 } };
    unsigned missing = 0;
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(sandbox_enter_broker(&sandbox_filter_broker, &rights, &missing) < 0 ? 2 : what(n, b));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int attach_again(const Bulkhead__NetConfig *n, const struct backend *b)
{
    struct fault f;

    return resources_net_attach_again(n, b, &f) == 0 ? 0 : 3;
}

static int await_gone(const Bulkhead__NetConfig *n, const struct backend *b)
{
    (void)b;
    resources_tap_await_gone(n->tap);
    return 0;
}

static void attached_again(void **state)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);
    Bulkhead__NetConfig *n = fixture_add_net(c, "tap");
    struct ifreq req = { 0 };
    struct backend b, other;
    struct fault f;

    (void)state;
    fixture_text(&n->tap, "again");
    fixture_text(&n->id, "net0");
    n->num_queues = 4;
    make("again", IFF_TAP | IFF_MULTI_QUEUE);
    backend_init(&b);
    assert_int_equal(resources_net(n, NULL, 0, &b, &f), 0);
    assert_int_equal(resources_tap_configure(n, &f), 0);
    delete_under("again");

    assert_true(resources_net_attach_again(n, &b, &f) < 0); /* nothing is made */
    assert_non_null(strstr(f.text, "make it first (ip tuntap add again mode tap multi_queue)"));
    make("again", IFF_TAP);
    assert_true(resources_net_attach_again(n, &b, &f) < 0);
    assert_non_null(strstr(f.text, "not a tap with multi_queue"));
    destroy("again", IFF_TAP);

    make("again", IFF_TAP | IFF_MULTI_QUEUE);
    assert_int_equal(open_it("again", 4, &other, &f), 0); /* somebody else was faster */
    assert_int_equal(resources_tap_configure(n, &f), 0);
    await_carrier("again", true);
    assert_true(resources_net_attach_again(n, &b, &f) < 0);
    assert_non_null(strstr(f.text, "taken by another process"));
    backend_deinit(&other);
    await_carrier("again", false);
    assert_int_equal(in_the_sandbox(attach_again, n, &b), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ioctl(b.own[i], TUNGETIFF, &req), 0);
        assert_string_equal(req.ifr_name, "again");
    }
    backend_deinit(&b);
    destroy("again", IFF_TAP | IFF_MULTI_QUEUE);
    assert_int_equal(in_the_sandbox(await_gone, n, NULL), 0); /* at the end of a VM that made it */

    fixture_text(&n->mode, "macvtap");
    assert_true(resources_net_attach_again(n, &b, &f) < 0);
    assert_non_null(strstr(f.text, "restart the VM"));
    config_free(c);
}

/* What any user may do with an interface that has no owner: reading it takes no more. */
static int attach_anew(const Bulkhead__NetConfig *n, const struct backend *b)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    cleanup_(fd_closep) int fd = open("/dev/net/tun", O_RDONLY | O_CLOEXEC);

    (void)n;
    (void)b;
    snprintf(req.ifr_name, sizeof req.ifr_name, "another");
    return fd >= 0 && ioctl(fd, TUNSETIFF, &req) == 0 ? 0 : 3;
}

static void no_other_is_attached(void **state)
{
    enum { LANDLOCK_OF_IOCTLS = 5 };

    (void)state;
    make("another", IFF_TAP);
    assert_int_equal(attach_anew(NULL, NULL), 0);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* VERSION */) >= LANDLOCK_OF_IOCTLS)
        assert_int_not_equal(in_the_sandbox(attach_anew, NULL, NULL), 0);
    destroy("another", IFF_TAP);
}

/* Without root, in a user namespace of its own as well. */
static int enter_namespace(void **state)
{
    (void)state;
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return -1;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_number_of_queues),
        cmocka_unit_test(offloads),
        cmocka_unit_test(attached_again),
        cmocka_unit_test(no_other_is_attached),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
