/* SPDX-License-Identifier: Apache-2.0 */
/* netdev_watch.c - macvtaps that go down or vanish, with their lower device say. Their descriptors go
 * on taking frames and bring none, so no worker can tell; rtnetlink does, over a socket that is opened
 * before the broker's sandbox. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "vm.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

enum { ANSWER_BYTES = 32768, MESSAGES_PER_TURN = 64 };

static struct device *find_interface(struct vm *vm, int ifindex)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (ifindex != 0 && vm->devices[i].backend.macvtap == ifindex)
            return &vm->devices[i];
    return NULL;
}

/* Of an interface that was moved to another network namespace we hear no more; it works there. */
static bool is_moved(const struct nlmsghdr *head)
{
    const struct ifinfomsg *info = NLMSG_DATA(head);
    const struct rtattr *attr = IFLA_RTA(info);
    int left = (int)IFLA_PAYLOAD(head);

    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
        if ((attr->rta_type & NLA_TYPE_MASK) == IFLA_NEW_NETNSID)
            return true;
    return false;
}

static void on_link(struct vm *vm, const struct nlmsghdr *head)
{
    const struct ifinfomsg *info = NLMSG_DATA(head);
    const unsigned up = IFF_UP | IFF_LOWER_UP;
    struct device *d;

    if (head->nlmsg_len < NLMSG_LENGTH(sizeof *info) || info->ifi_family != AF_UNSPEC)
        return; /* a port that leaves a bridge is "deleted" from it */
    d = find_interface(vm, info->ifi_index);
    if (!d || d->tap == TAP_GONE)
        return;
    if (head->nlmsg_type == RTM_NEWLINK)
        netdev_set_tap(d, (info->ifi_flags & up) == up ? TAP_WELL : TAP_DOWN);
    else if (!is_moved(head))
        netdev_set_tap(d, TAP_GONE);
}

/* The answer to ask() about an interface that isn't there. */
static void on_error(struct vm *vm, const struct nlmsghdr *head)
{
    const struct nlmsgerr *e = NLMSG_DATA(head);
    struct device *d;

    if (head->nlmsg_len < NLMSG_LENGTH(sizeof *e) || e->error != -ENODEV)
        return;
    d = find_interface(vm, (int)e->msg.nlmsg_seq);
    if (d)
        netdev_set_tap(d, TAP_GONE);
}

/* Its state now comes as if it had changed. */
static void ask(int fd, int ifindex)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
    } request = { .head = { .nlmsg_len = sizeof request,
                            .nlmsg_type = RTM_GETLINK,
                            .nlmsg_flags = NLM_F_REQUEST,
                            .nlmsg_seq = (uint32_t)ifindex },
                  .info.ifi_index = ifindex };

    (void)send(fd, &request, sizeof request,
               MSG_DONTWAIT); /* if it can't be sent, a change comes */
}

static void ask_all(const struct vm *vm, int fd)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].backend.macvtap != 0)
            ask(fd, vm->devices[i].backend.macvtap);
}

static void take(struct vm *vm, const void *answer, size_t left)
{
    const struct nlmsghdr *head = answer;

    for (; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
        if (head->nlmsg_type == RTM_NEWLINK || head->nlmsg_type == RTM_DELLINK)
            on_link(vm, head);
        else if (head->nlmsg_type == NLMSG_ERROR)
            on_error(vm, head);
    }
}

void netdev_on_links(int fd, unsigned what, void *arg)
{
    static _Alignas(struct nlmsghdr) uint8_t answer[ANSWER_BYTES]; /* one thread */
    struct vm *vm = arg;

    (void)what;
    for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
        ssize_t n = read(fd, answer, sizeof answer);

        if (n > 0) {
            take(vm, answer, (size_t)n);
        } else if (n < 0 && errno == ENOBUFS) { /* more changed than the socket could hold */
            vm->links_lost = true;
        } else if (vm->links_lost) { /* now it has room for the answers */
            vm->links_lost = false;
            ask_all(vm, fd);
        } else {
            return;
        }
    }
}

int netdev_watch(struct vm *vm, struct fault *f)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
    bool wanted = false;
    int fd;

    for (unsigned i = 0; i < vm->n_devices; i++)
        wanted = wanted || vm->devices[i].backend.macvtap != 0;
    if (!wanted)
        return 0;
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return fault_host(f, errno, "rtnetlink: %s", strerror(errno));
    vm->links_fd = fd;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return fault_host(f, errno, "rtnetlink: %s", strerror(errno));
    if (loop_add_fd(vm->loop, fd, LOOP_READ, netdev_on_links, vm, &vm->links_event) < 0)
        return fault_host(f, ENOMEM, "rtnetlink: %s", err_text());
    ask_all(vm, fd);
    return 0;
}
