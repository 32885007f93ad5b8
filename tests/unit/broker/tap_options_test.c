/* SPDX-License-Identifier: Apache-2.0 */
/* tap_options_test.c - what the broker finds out about taps, in a network namespace of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "config/config.h"
#include "devices/backend.h"
#include "devices/handed.h"
#include "devices/net.h"
#include "devices/net_again.h"
#include "fixture.h"
#include "resources/open.h"
#include "resources/tap.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_broker.h"

enum { KEEP = 1 };

/* What another process does just before the first TUNSETIFF from now on, or the one after so many; and one that
 * the kernel refuses. */
static struct {
    void (*before)(void);
    unsigned after;
    int refused_fd;
} meanwhile = { .refused_fd = -1 };

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    void (*before)(void) = meanwhile.before;
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request == TUNSETIFF && before && meanwhile.after-- == 0) {
        meanwhile.before = NULL;
        before();
    }
    if (request == TUNSETIFF && fd == meanwhile.refused_fd) {
        meanwhile.refused_fd = -1;
        errno = ENOMEM;
        return -1;
    }
    return __real_ioctl(fd, request, arg);
}

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

/* As the broker does it: after it has given up all else. */
static int in_the_sandbox(int (*what)(const Bulkhead__NetConfig *n, struct backend *b),
                          const Bulkhead__NetConfig *n, struct backend *b)
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

static int attach_again(const Bulkhead__NetConfig *n, struct backend *b)
{
    struct fault f;

    return resources_net_attach_again(n, b, &f) == 0 ? 0 : 3;
}

static int await_gone(const Bulkhead__NetConfig *n, struct backend *b)
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
    assert_true(resources_net_attach_again(n, &b, &f) < 0);
    assert_non_null(strstr(f.text, "taken by another process"));
    backend_deinit(&other);
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

static struct tap_facts facts_of(const char *name)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct tap_facts facts;

    assert_int_equal(resources_tap_ask(fd, name, &facts), 0);
    close(fd);
    return facts;
}

static unsigned attached_of(const struct backend *b)
{
    struct ifreq req = { 0 };
    unsigned n = 0;

    for (unsigned i = 0; i < b->n_own; i++)
        n += ioctl(b->own[i], TUNGETIFF, &req) == 0;
    return n + (b->held[1] >= 0 && ioctl(b->held[1], TUNGETIFF, &req) == 0);
}

/* Two VMs that had a tap "twice" each, one after the other; both were deleted, and there is one again. */
enum { QUEUES = 4, HAD = QUEUES / 2 + 1 };
static struct {
    Bulkhead__NetConfig net;
    struct backend a, b;
    struct fault fault_a, fault_b;
    int r_b;
} pair;

static int begin_pair(void **state)
{
    static char id[] = "net0", mode[] = "tap", tap[] = "twice";
    struct backend *both[] = { &pair.a, &pair.b };

    (void)state;
    pair.net = (Bulkhead__NetConfig)BULKHEAD__NET_CONFIG__INIT;
    pair.net.id = id;
    pair.net.mode = mode;
    pair.net.tap = tap;
    pair.net.num_queues = QUEUES;
    pair.fault_a = pair.fault_b = (struct fault){ 0 };
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        make("twice", IFF_TAP | IFF_MULTI_QUEUE);
        assert_int_equal(open_it("twice", QUEUES, both[i], &pair.fault_a), 0);
        assert_int_equal(attached_of(both[i]), HAD);
        delete_under("twice");
        assert_int_equal(attached_of(both[i]), 0);
    }
    make("twice", IFF_TAP | IFF_MULTI_QUEUE);
    return 0;
}

static int end_pair(void **state)
{
    (void)state;
    meanwhile.before = NULL;
    meanwhile.refused_fd = -1;
    backend_deinit(&pair.a);
    backend_deinit(&pair.b);
    delete_under("twice");
    return 0;
}

static int repair_a(void)
{
    return resources_net_attach_again(&pair.net, &pair.a, &pair.fault_a);
}

static void repair_b(void)
{
    pair.r_b = resources_net_attach_again(&pair.net, &pair.b, &pair.fault_b);
}

/* Whether somebody has it shows also while the interface is down, as it is here all the time. */
static void a_tap_that_is_down_and_taken(void **state)
{
    (void)state;
    repair_b();
    assert_int_equal(pair.r_b, 0);
    assert_true(repair_a() < 0);
    assert_non_null(strstr(pair.fault_a.text, "taken by another process: end that one"));
    assert_int_equal(attached_of(&pair.a), 0);
    assert_int_equal(facts_of("twice").queues, HAD);
    backend_deinit(&pair.b);
    assert_false(facts_of("twice").has_carrier);
    assert_int_equal(repair_a(), 0); /* nothing was lost by it */
    assert_int_equal(attached_of(&pair.a), HAD);
}

/* Both have looked when the first one takes it. */
static void two_that_look_at_once(void **state)
{
    (void)state;
    meanwhile.before = repair_b;
    meanwhile.after = 0;
    assert_true(repair_a() < 0);
    assert_int_equal(pair.r_b, 0);
    assert_non_null(strstr(pair.fault_a.text, "in the same moment"));
    assert_int_equal(attached_of(&pair.a), 0);
    assert_int_equal(facts_of("twice").queues, HAD);
    assert_true(repair_a() < 0);
    assert_non_null(strstr(pair.fault_a.text, "add it again, or restart the VM"));
}

/* The later one looks when the first one has attached one queue. */
static void the_first_one_has_it(void **state)
{
    (void)state;
    meanwhile.before = repair_b;
    meanwhile.after = 1;
    assert_int_equal(repair_a(), 0);
    assert_true(pair.r_b < 0);
    assert_int_equal(attached_of(&pair.b), 0);
    assert_int_equal(attached_of(&pair.a), HAD);
}

static void start_b(void)
{
    backend_deinit(&pair.b);
    pair.r_b = open_it("twice", QUEUES, &pair.b, &pair.fault_b);
}

/* Nor does a VM that starts share it with one that repairs. */
static void one_that_starts_meanwhile(void **state)
{
    (void)state;
    for (unsigned after = 0; after < HAD; after++) {
        end_pair(NULL);
        begin_pair(NULL);
        meanwhile.before = start_b;
        meanwhile.after = after;
        assert_int_equal(repair_a() == 0, after > 0);
        assert_int_equal(pair.r_b == 0, after == 0);
        if (after > 0)
            backend_deinit(&pair.b);
        assert_int_equal(facts_of("twice").queues, HAD);
    }
}

/* No queue stays at another VM's tap when the next one fails. */
static void the_second_queue_fails(void **state)
{
    (void)state;
    meanwhile.before = repair_b;
    meanwhile.after = 0;
    meanwhile.refused_fd = pair.a.own[1];
    assert_true(repair_a() < 0);
    assert_int_equal(pair.r_b, 0);
    assert_int_equal(attached_of(&pair.a), 0);
    assert_int_equal(facts_of("twice").queues, HAD);
}

/* At a tap that was claimed they may stay: it can be tried again. */
static void the_second_queue_fails_once(void **state)
{
    struct ifreq req = { 0 };

    (void)state;
    meanwhile.refused_fd = pair.a.own[1];
    assert_true(repair_a() < 0);
    assert_non_null(strstr(pair.fault_a.text, "repair again"));
    repair_b();
    assert_true(pair.r_b < 0);
    assert_int_equal(repair_a(), 0);
    assert_int_equal(repair_a(), 0); /* before the worker has said that it sees it */
    assert_int_equal(attached_of(&pair.a), HAD);
    assert_int_equal(facts_of("twice").queues, HAD);
    assert_int_equal(ioctl(pair.a.held[1], TUNGETIFF, &req), 0);
    assert_true(req.ifr_flags & IFF_DETACH_QUEUE); /* no frame is lost in it */
}

static void remake(void)
{
    delete_under("twice");
    make("twice", IFF_TAP | IFF_MULTI_QUEUE);
}

/* What was claimed is gone, and the queues are at another one of the same name: they don't stay attached. */
static void made_anew_meanwhile(void **state)
{
    struct ifreq req = { 0 };

    (void)state;
    meanwhile.before = remake;
    meanwhile.after = 1;
    assert_true(repair_a() < 0);
    assert_non_null(strstr(pair.fault_a.text, "deleted or renamed meanwhile"));
    for (unsigned i = 0; i < pair.a.n_own; i++)
        if (ioctl(pair.a.own[i], TUNGETIFF, &req) == 0)
            assert_true(req.ifr_flags & IFF_DETACH_QUEUE);
}

static int hand_over(struct backend *from)
{
    Bulkhead__Backend m;
    int fds[HANDED_MAX_FDS];
    struct fault f = { 0 };
    struct backend b;
    size_t n = handed_give(from, &m, fds);
    int r;

    for (size_t i = 0; i < n; i++)
        fds[i] = dup(fds[i]);
    backend_init(&b);
    r = handed_take(&m, "net0", fds, n, &b, &f);
    if (r == 0)
        r = handed_check_net(&pair.net, &b, &f);
    b.made_tap[0] = '\0';
    backend_deinit(&b);
    return r;
}

/* One that is added to a VM that runs comes with what a repair takes. */
static void handed_over(void **state)
{
    struct ifreq attach = { .ifr_flags = IFF_ATTACH_QUEUE };

    (void)state;
    start_b();
    assert_int_equal(hand_over(&pair.b), 0);
    assert_int_equal(ioctl(pair.b.held[1], TUNSETQUEUE, &attach), 0);
    assert_int_equal(hand_over(&pair.b), -EINVAL);
    attach.ifr_flags = IFF_DETACH_QUEUE;
    assert_int_equal(ioctl(pair.b.held[1], TUNSETQUEUE, &attach), 0);
    assert_int_equal(hand_over(&pair.b), 0);
    fd_closep(&pair.b.held[1]);
    assert_int_equal(hand_over(&pair.b), -EINVAL);
    pair.b.held[1] = fd_take(&pair.b.held[0]);
    assert_int_equal(hand_over(&pair.b), -EINVAL);
}

/* What any user may do with an interface that has no owner: reading it takes no more. */
static int attach_anew(const Bulkhead__NetConfig *n, struct backend *b)
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

#define REPAIR_TEST(name) cmocka_unit_test_setup_teardown(name, begin_pair, end_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_number_of_queues),
        cmocka_unit_test(offloads),
        cmocka_unit_test(attached_again),
        REPAIR_TEST(a_tap_that_is_down_and_taken),
        REPAIR_TEST(two_that_look_at_once),
        REPAIR_TEST(the_first_one_has_it),
        REPAIR_TEST(one_that_starts_meanwhile),
        REPAIR_TEST(the_second_queue_fails),
        REPAIR_TEST(the_second_queue_fails_once),
        REPAIR_TEST(made_anew_meanwhile),
        REPAIR_TEST(handed_over),
        cmocka_unit_test(no_other_is_attached),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
