/* SPDX-License-Identifier: Apache-2.0 */
/* links.c - macvtaps that go down or vanish, with their lower device say. Their descriptors go
 * on taking frames and bring none, so no worker can tell; rtnetlink does, over a socket that is opened
 * before the broker's sandbox. */
#include "run/links.h"
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "run/happen.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

enum { ANSWER_BYTES = 32768, MESSAGES_PER_TURN = 64 };

static const struct device *find_interface(const struct instance *in, int ifindex)
{
    for (unsigned i = 0; i < in->n_ends; i++)
        if (ifindex != 0 && in->ends[i].backend.macvtap == ifindex)
            return &in->vm.devices[i];
    return NULL;
}

static void set_tap(struct instance *in, const struct device *d, enum tap_state state)
{
    const struct event e = { .kind = EVENT_TAP, .device = d->number, .tap = state };

    happen(in, &e);
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

static void on_link(struct instance *in, const struct nlmsghdr *head)
{
    const struct ifinfomsg *info = NLMSG_DATA(head);
    const unsigned up = IFF_UP | IFF_LOWER_UP;
    const struct device *d;

    if (head->nlmsg_len < NLMSG_LENGTH(sizeof *info) || info->ifi_family != AF_UNSPEC)
        return; /* a port that leaves a bridge is "deleted" from it */
    d = find_interface(in, info->ifi_index);
    if (!d || d->tap == TAP_GONE)
        return;
    if (head->nlmsg_type == RTM_NEWLINK)
        set_tap(in, d, (info->ifi_flags & up) == up ? TAP_WELL : TAP_DOWN);
    else if (!is_moved(head))
        set_tap(in, d, TAP_GONE);
}

/* The answer to ask() about an interface that isn't there. */
static void on_error(struct instance *in, const struct nlmsghdr *head)
{
    const struct nlmsgerr *e = NLMSG_DATA(head);
    const struct device *d;

    if (head->nlmsg_len < NLMSG_LENGTH(sizeof *e) || e->error != -ENODEV)
        return;
    d = find_interface(in, (int)e->msg.nlmsg_seq);
    if (d)
        set_tap(in, d, TAP_GONE);
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

static void ask_all(const struct instance *in, int fd)
{
    for (unsigned i = 0; i < in->n_ends; i++)
        if (in->ends[i].backend.macvtap != 0)
            ask(fd, in->ends[i].backend.macvtap);
}

static void take(struct instance *in, const void *answer, size_t left)
{
    const struct nlmsghdr *head = answer;

    for (; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
        if (head->nlmsg_type == RTM_NEWLINK || head->nlmsg_type == RTM_DELLINK)
            on_link(in, head);
        else if (head->nlmsg_type == NLMSG_ERROR)
            on_error(in, head);
    }
}

void links_on_change(int fd, unsigned what, void *arg)
{
    static _Alignas(struct nlmsghdr) uint8_t answer[ANSWER_BYTES]; /* one thread */
    struct instance *in = arg;

    (void)what;
    for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
        ssize_t n = read(fd, answer, sizeof answer);

        if (n > 0) {
            take(in, answer, (size_t)n);
        } else if (n < 0 && errno == ENOBUFS) { /* more changed than the socket could hold */
            in->links_lost = true;
        } else if (in->links_lost) { /* now it has room for the answers */
            in->links_lost = false;
            ask_all(in, fd);
        } else {
            return;
        }
    }
}

int links_go_on(struct instance *in, int fd)
{
    int r = loop_add_fd(in->loop, fd, LOOP_READ, links_on_change, in, &in->links_event);

    in->links_fd = fd;
    if (r < 0)
        return err_trace(r);
    ask_all(in, fd);
    return 0;
}

int links_watch(struct instance *in, struct fault *f)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
    bool wanted = false;
    int fd;

    for (unsigned i = 0; i < in->n_ends; i++)
        wanted = wanted || in->ends[i].backend.macvtap != 0;
    if (!wanted)
        return 0;
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return fault_host(f, errno, "rtnetlink: %s", strerror(errno));
    in->links_fd = fd;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return fault_host(f, errno, "rtnetlink: %s", strerror(errno));
    if (loop_add_fd(in->loop, fd, LOOP_READ, links_on_change, in, &in->links_event) < 0)
        return fault_host(f, ENOMEM, "rtnetlink: %s", err_text());
    ask_all(in, fd);
    return 0;
}
