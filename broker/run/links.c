/* SPDX-License-Identifier: Apache-2.0 */
/* links.c - macvtaps that go down or vanish, with their lower device say. Their descriptors go
 * on taking frames and bring none, so no worker can tell; rtnetlink does, over a socket that is opened
 * with each, by who may. */
#include "run/links.h"
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "run/happen.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

enum { ANSWER_BYTES = 32768, MESSAGES_PER_TURN = 64 };

static struct device *device_of(const struct device_ends *e)
{
    return &e->instance->vm.devices[instance_number_of(e)];
}

static void set_tap(const struct device_ends *ends, enum tap_state state)
{
    const struct event e = { .kind = EVENT_TAP, .device = instance_number_of(ends), .tap = state };

    happen(ends->instance, &e);
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

static void on_link(const struct device_ends *e, const struct nlmsghdr *head)
{
    const struct ifinfomsg *info = NLMSG_DATA(head);
    const unsigned up = IFF_UP | IFF_LOWER_UP;

    if (head->nlmsg_len < NLMSG_LENGTH(sizeof *info) || info->ifi_family != AF_UNSPEC)
        return; /* a port that leaves a bridge is "deleted" from it */
    if (info->ifi_index != e->backend.macvtap || device_of(e)->tap == TAP_GONE)
        return;
    if (head->nlmsg_type == RTM_NEWLINK)
        set_tap(e, (info->ifi_flags & up) == up ? TAP_WELL : TAP_DOWN);
    else if (!is_moved(head))
        set_tap(e, TAP_GONE);
}

/* The answer to ask() about an interface that isn't there. */
static void on_error(const struct device_ends *ends, const struct nlmsghdr *head)
{
    const struct nlmsgerr *e = NLMSG_DATA(head);

    if (head->nlmsg_len >= NLMSG_LENGTH(sizeof *e) && e->error == -ENODEV)
        set_tap(ends, TAP_GONE);
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

/* What happens may take the device away. */
static bool is_there(const struct device_ends *e, int fd)
{
    return e->held_event && e->backend.held[0] == fd;
}

static void take(const struct device_ends *e, int fd, const void *answer, size_t left)
{
    const struct nlmsghdr *head = answer;

    for (; is_there(e, fd) && NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
        if (head->nlmsg_type == RTM_NEWLINK || head->nlmsg_type == RTM_DELLINK)
            on_link(e, head);
        else if (head->nlmsg_type == NLMSG_ERROR)
            on_error(e, head);
    }
}

void links_on_change(int fd, unsigned what, void *arg)
{
    static _Alignas(struct nlmsghdr) uint8_t answer[ANSWER_BYTES]; /* one thread */
    struct device_ends *e = arg;

    (void)what;
    for (unsigned i = 0; i < MESSAGES_PER_TURN && is_there(e, fd); i++) {
        ssize_t n = read(fd, answer, sizeof answer);

        if (n > 0) {
            take(e, fd, answer, (size_t)n);
        } else if (n < 0 && errno == ENOBUFS) { /* more changed than the socket could hold */
            e->links_lost = true;
        } else if (e->links_lost) { /* now it has room for the answer */
            e->links_lost = false;
            ask(fd, e->backend.macvtap);
        } else {
            return;
        }
    }
}

int links_watch(struct device_ends *e)
{
    int fd = e->backend.held[0];
    int r = loop_add_fd(e->instance->loop, fd, LOOP_READ, links_on_change, e, &e->held_event);

    if (r < 0)
        return err_trace(r);
    ask(fd, e->backend.macvtap);
    return 0;
}
