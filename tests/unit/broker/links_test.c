/* SPDX-License-Identifier: Apache-2.0 */
/* links_test.c - what the host says of interfaces and of passt, over rtnetlink and in /proc. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/net.h"
#include "rig.h"
#include "run/held.h"
#include "run/links.h"
#include "run/perform.h"
#include "run/watch.h"
#include "spawner/keep.h"

static void ip_link(const char *what, const char *name, const char *state)
{
    char command[80];

    snprintf(command, sizeof command, "ip link %s %s %s", what, name, state);
    assert_int_equal(system(command), 0);
}

/* Like a macvtap, of which only rtnetlink can tell. */
static void be_macvtap(struct rig *rig, struct device *d, struct ifreq *req)
{
    struct backend *b = &rig->in.ends[d->number].backend;
    struct fault f;

    assert_int_equal(ioctl(b->own[0], TUNGETIFF, req), 0);
    b->macvtap = (int)if_nametoindex(req->ifr_name);
    d->is_macvtap = true;
    fd_closep(&b->held[0]); /* a tap's */
    assert_int_equal(resources_net_watch("net0", b, &f), 0);
}

static void rtnetlink_tells_of_a_macvtap(void **state)
{
    struct device_ends *e;
    struct device *d;
    struct rig rig;
    struct ifreq req = { 0 };

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    be_macvtap(&rig, d, &req);
    ip_link("set", "lo", "up"); /* nothing to us */
    ip_link("set", req.ifr_name, "up");
    e = &rig.in.ends[d->number];
    assert_int_equal(held_watch(&rig.in, d->number), 0);
    links_on_change(e->backend.held[0], LOOP_READ, e);
    assert_int_equal(d->tap, TAP_WELL);
    ip_link("set", req.ifr_name, "down");
    links_on_change(e->backend.held[0], LOOP_READ, e);
    assert_int_equal(d->tap, TAP_DOWN);
    ip_link("set", req.ifr_name, "up");
    links_on_change(e->backend.held[0], LOOP_READ, e);
    assert_int_equal(d->tap, TAP_WELL);
    ip_link("delete", req.ifr_name, "");
    links_on_change(e->backend.held[0], LOOP_READ, e);
    assert_int_equal(d->tap, TAP_GONE);
    rig_end(&rig);
}

/* One that was gone before we looked, and more changes than the socket has room for. */
static void rtnetlink_is_asked(void **state)
{
    struct device_ends *e;
    struct device *d;
    struct rig rig;
    struct ifreq req = { 0 };
    int small = 1;

    (void)state;
    rig_run_with_tap(&rig);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET);
    be_macvtap(&rig, d, &req);
    e = &rig.in.ends[d->number];
    assert_int_equal(held_watch(&rig.in, d->number), 0);
    links_on_change(e->backend.held[0], LOOP_READ, e);
    assert_int_equal(setsockopt(e->backend.held[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small),
                     0);
    for (unsigned i = 0; i < 20; i++) {
        ip_link("set", req.ifr_name, "up");
        ip_link("set", req.ifr_name, "down");
    }
    ip_link("delete", req.ifr_name, ""); /* lost: the socket is full */
    links_on_change(e->backend.held[0], LOOP_READ, e);
    assert_int_equal(d->tap, TAP_GONE);
    rig_end(&rig);
}

/* There is no use in waiting for what can't be asked. */
static void a_passt_is_asked_by_its_descriptor(void **state)
{
    struct port passt = { .pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), .stat_fd = -1 };
    pid_t pid;

    (void)state;
    assert_true(watch_passt_settled(&passt, getpid(), now_ns()));
    passt.stat_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    assert_int_equal(watch_passt_settled(&passt, getpid(), now_ns()), prctl(PR_GET_SECCOMP) == 2);
    fd_closep(&passt.pidfd);
    fd_closep(&passt.stat_fd);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(0);
    passt.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(watch_passt_settled(&passt, pid, now_ns()));
    fd_closep(&passt.pidfd);
}

/* Without root, in a user namespace of its own as well. */
static int enter_namespace(void **state)
{
    (void)state;
    return unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET);
}

static int open_queue(const char *name)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
    return fd;
}

/* A broker that died had put it there, at a tap that another VM has. The spawner's copy would hold it there. */
static void a_claim_is_given_back(void **state)
{
    struct action repair = { .kind = ACTION_ATTACH_TAP };
    struct spawner_request said = { 0 };
    Bulkhead__NetConfig *n;
    struct backend *b;
    struct event e;
    struct rig rig;
    int other;

    (void)state;
    rig_run_with_tap(&rig);
    rig_spawn(&rig);
    repair.device = rig_device(&rig, BULKHEAD__ROLE__ROLE_NET)->number;
    n = rig.in.config->nets[rig.in.plan.devices[repair.device].index];
    b = &rig.in.ends[repair.device].backend;
    fixture_text(&n->tap, "bhothers");
    n->num_queues = 4;
    other = open_queue("bhothers");
    b->held[1] = open_queue("bhothers");
    rig.in.kept = true;
    assert_true(perform(&rig.in, &repair, &e));
    rig.in.kept = false;
    assert_int_equal(e.kind, EVENT_TAP_ATTACHED);
    assert_non_null(strstr(e.fault.text, "in the same moment"));
    assert_int_equal(b->held[1], -1);
    assert_int_equal(recv(rig.requests, &said, sizeof said, MSG_DONTWAIT), sizeof said);
    assert_int_equal(said.kind, SPAWNER_DROP);
    assert_int_equal(said.id, keep_of(repair.device, KEEP_HELD + 1));
    close(other);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtnetlink_tells_of_a_macvtap),
        cmocka_unit_test(a_claim_is_given_back),
        cmocka_unit_test(rtnetlink_is_asked),
        cmocka_unit_test(a_passt_is_asked_by_its_descriptor),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
