/* SPDX-License-Identifier: Apache-2.0 */
/* netdev_test.c - what the broker makes of a worker whose tap goes and comes again. */
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/loop.h"
#include "config/config.h"
#include "rig.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

static const uint64_t second_ns = 1000000000;

static void say_lost(struct rig *rig, struct device *d, bool returns)
{
    Bulkhead__LinkLost lost = BULKHEAD__LINK_LOST__INIT;
    ENVELOPE(e, LINK_LOST, link_lost, &lost);

    lost.returns = returns;
    rig_say(rig, d->worker, &e);
}

static void say_found(struct rig *rig, struct device *d)
{
    Bulkhead__LinkFound found = BULKHEAD__LINK_FOUND__INIT;
    ENVELOPE(e, LINK_FOUND, link_found, &found);

    rig_say(rig, d->worker, &e);
}

/* The last that the core was told of the link; -1: nothing. */
static int guest_was_told(struct rig *rig)
{
    struct message msg;
    int up = -1;

    while (rig_heard(rig, rig->vm.core, &msg) != B(_NOT_SET))
        if (msg.envelope->body_case == B(CONFIG_UPDATE))
            up = msg.envelope->config_update->data.data[0] & VIRTIO_NET_S_LINK_UP;
    return up;
}

static void lost_and_found(void **state)
{
    struct device *d;
    struct rig rig;

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    assert_int_equal(guest_was_told(&rig), -1);
    say_lost(&rig, d, true);
    assert_int_equal(guest_was_told(&rig), 0);
    assert_int_equal(d->tap_told, TAP_DOWN);
    assert_false(netdev_is_cut_off(d)); /* it comes up again by itself */
    say_found(&rig, d);
    assert_int_equal(guest_was_told(&rig), 1);
    say_lost(&rig, d, false);
    assert_int_equal(guest_was_told(&rig), 0);
    assert_true(netdev_is_cut_off(d));
    netdev_update_link(d); /* as when somebody wants it up: it is no better for it */
    assert_int_equal(guest_was_told(&rig), -1);
    rig_end(&rig);
}

/* A worker that was taken over may say so as often as it likes. */
static void events_are_a_second_apart(void **state)
{
    struct device *d;
    struct rig rig;
    uint64_t told_ns;

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    say_lost(&rig, d, true);
    told_ns = d->tap_told_ns;
    assert_true(told_ns > 0);
    d->tap_told_ns =
        now_ns() + 3600 * second_ns; /* as if it were that moment, however slow we are */
    for (unsigned i = 0; i < 100; i++) {
        say_found(&rig, d);
        assert_int_equal(d->tap_told, TAP_DOWN);
        say_lost(&rig, d, i % 2);
    }
    say_found(&rig, d);
    assert_int_equal(d->tap_told, TAP_DOWN);
    netdev_on_tick(d, d->tap_told_ns + second_ns - 1);
    assert_int_equal(d->tap_told, TAP_DOWN);
    netdev_on_tick(d, d->tap_told_ns + second_ns);
    assert_int_equal(d->tap_told, TAP_WELL); /* and the last state is told in any case */
    rig_end(&rig);
}

/* What the one before found says nothing about the tap now. */
static void a_replacement_finds_out_for_itself(void **state)
{
    struct device *d;
    struct rig rig;

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    say_lost(&rig, d, false);
    assert_int_equal(guest_was_told(&rig), 0);
    rig_exit(&rig, d->worker);
    rig_make_ready(&rig, d->worker);
    assert_int_equal(guest_was_told(&rig), 1);
    say_lost(&rig, d, false);
    assert_int_equal(guest_was_told(&rig), 0);
    rig_end(&rig);
}

/* The guest's driver sets up one queue, and the worker goes to work on it. */
static void activate(struct rig *rig, struct device *d)
{
    Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT, *queues[] = { &queue };
    Bulkhead__Activate a = BULKHEAD__ACTIVATE__INIT;
    ENVELOPE(e, ACTIVATE, activate, &a);

    queue.size = 8;
    a.slot = d->plan->pci_slot;
    a.queues = queues;
    a.n_queues = 1;
    rig_say(rig, rig->vm.core, &e);
    rig_say_bare(rig, d->worker, B(ACTIVATED));
}

/* The candidate was configured before the interface went down, and before the user pulled the cable;
 * it hears of both when it takes over. */
static void an_upgrade_meanwhile(void **state)
{
    struct message msg;
    struct device *d;
    struct child *old;
    struct fault f;
    struct rig rig;

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    activate(&rig, d);
    assert_int_equal(upgrade_begin(d, "/bin/true", 99, 0, &f), 0);
    rig_make_ready(&rig, d->next);
    say_lost(&rig, d, true);
    d->link_down = true;
    netdev_update_link(d);
    old = d->worker;
    rig_say_bare(&rig, old, B(QUIESCED));
    assert_ptr_not_equal(d->worker, old);
    assert_int_equal(rig_heard(&rig, d->worker, &msg), B(LINK_STATE));
    assert_false(msg.envelope->link_state->up);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(ACTIVATE));
    rig_say_bare(&rig, d->worker, B(ACTIVATED));
    rig_exit(&rig, old);
    assert_int_equal(guest_was_told(&rig), 0);
    d->link_down = false;
    netdev_update_link(d);
    assert_int_equal(guest_was_told(&rig), 1); /* the new one has found nothing wrong */
    rig_end(&rig);
}

static void ip_link(const char *what, const char *name, const char *state)
{
    char command[80];

    snprintf(command, sizeof command, "ip link %s %s %s", what, name, state);
    assert_int_equal(system(command), 0);
}

/* Like a macvtap, of which only rtnetlink can tell. */
static void rtnetlink_tells_of_a_macvtap(void **state)
{
    struct fault f;
    struct device *d;
    struct rig rig;
    struct ifreq req = { 0 };

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    assert_int_equal(ioctl(d->backend.own[0], TUNGETIFF, &req), 0);
    d->backend.macvtap = (int)if_nametoindex(req.ifr_name);
    ip_link("set", "lo", "up"); /* nothing to us */
    ip_link("set", req.ifr_name, "up");
    assert_int_equal(netdev_watch(&rig.vm, &f), 0);
    netdev_on_links(rig.vm.links_fd, LOOP_READ, &rig.vm);
    assert_int_equal(d->tap, TAP_WELL);
    ip_link("set", req.ifr_name, "down");
    netdev_on_links(rig.vm.links_fd, LOOP_READ, &rig.vm);
    assert_int_equal(d->tap, TAP_DOWN);
    assert_int_equal(guest_was_told(&rig), 0);
    assert_false(netdev_link_wanted(d)); /* nor is a replacement told otherwise */
    rig_exit(&rig, d->worker);
    rig_make_ready(&rig, d->worker);
    assert_int_equal(d->tap, TAP_DOWN);
    ip_link("set", req.ifr_name, "up");
    netdev_on_links(rig.vm.links_fd, LOOP_READ, &rig.vm);
    assert_int_equal(d->tap, TAP_WELL);
    assert_int_equal(guest_was_told(&rig), 1);
    ip_link("delete", req.ifr_name, "");
    netdev_on_links(rig.vm.links_fd, LOOP_READ, &rig.vm);
    assert_int_equal(d->tap, TAP_GONE);
    assert_int_equal(guest_was_told(&rig), 0);
    rig_end(&rig);
}

/* One that was gone before we looked, and more changes than the socket has room for. */
static void rtnetlink_is_asked(void **state)
{
    struct fault f;
    struct device *d;
    struct rig rig;
    struct ifreq req = { 0 };
    int small = 1;

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    assert_int_equal(ioctl(d->backend.own[0], TUNGETIFF, &req), 0);
    d->backend.macvtap = (int)if_nametoindex(req.ifr_name);
    assert_int_equal(netdev_watch(&rig.vm, &f), 0);
    netdev_on_links(rig.vm.links_fd, LOOP_READ, &rig.vm);
    assert_int_equal(setsockopt(rig.vm.links_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    for (unsigned i = 0; i < 20; i++) {
        ip_link("set", req.ifr_name, "up");
        ip_link("set", req.ifr_name, "down");
    }
    ip_link("delete", req.ifr_name, ""); /* lost: the socket is full */
    netdev_on_links(rig.vm.links_fd, LOOP_READ, &rig.vm);
    assert_int_equal(d->tap, TAP_GONE);
    rig_end(&rig);
}

enum { OTHER_UID = 12345 };

/* In a child: /proc hides this test's process from it, which lives, or another one that is gone. */
static int look_for_passt(pid_t pid, int pidfd)
{
    static struct vm vm;
    struct child passt = { .pid = pid, .pidfd = pidfd, .started_ns = now_ns() };
    struct device d = { .vm = &vm, .passt = &passt };

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=2") < 0 || setgroups(0, NULL) < 0 ||
        setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 || loop_new(&vm.loop) < 0)
        return 2;
    return netdev_passt_settled(&d);
}

static int in_a_child(pid_t pid, int pidfd)
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(look_for_passt(pid, pidfd));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

/* There is no use in waiting for what can't be asked. */
static void a_passt_that_proc_hides(void **state)
{
    cleanup_(fd_closep) int own = (int)syscall(SYS_pidfd_open, getpid(), 0);
    cleanup_(fd_closep) int gone = -1;
    pid_t pid;

    (void)state;
    if (geteuid() != 0)
        return; /* only root can mount it so */
    assert_int_equal(in_a_child(getpid(), own), true);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(0);
    gone = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(in_a_child(pid, gone), false);
}

/* Without root, in a user namespace of its own as well. */
static int enter_namespace(void **state)
{
    (void)state;
    return unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_and_found),
        cmocka_unit_test(events_are_a_second_apart),
        cmocka_unit_test(a_replacement_finds_out_for_itself),
        cmocka_unit_test(an_upgrade_meanwhile),
        cmocka_unit_test(rtnetlink_tells_of_a_macvtap),
        cmocka_unit_test(rtnetlink_is_asked),
        cmocka_unit_test(a_passt_that_proc_hides),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
