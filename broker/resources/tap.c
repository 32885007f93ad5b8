/* SPDX-License-Identifier: Apache-2.0 */
/* tap.c - a tap's interface: who may look at it, whether somebody has it, and its
 * address, MTU and "up". */
#include "resources/tap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/loop.h"
#include "resources/open.h"

enum { MAX_ANSWERS = 16 };

struct link {
    _Alignas(struct nlmsghdr) uint8_t answer[16384];
    const struct rtattr *attrs;
    int attrs_bytes;
};

/* The kernel answers within the send, so nobody waits: who else has the socket can't hold us up. Before it may
 * lie an answer to a broker that died before it read it. */
static int read_answer(int fd, uint32_t number, struct link *ret)
{
    const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)ret->answer;
    struct iovec into = { ret->answer, sizeof ret->answer };
    struct msghdr message = { .msg_iov = &into, .msg_iovlen = 1 };
    unsigned tries = 0;
    ssize_t n;

    do {
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return -errno;
        if (!NLMSG_OK(head, (size_t)n) || ++tries > MAX_ANSWERS)
            return -EBADMSG;
    } while (head->nlmsg_seq != number);
    if (head->nlmsg_type == NLMSG_ERROR && head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return MIN(((const struct nlmsgerr *)NLMSG_DATA(head))->error, -1);
    if (head->nlmsg_type != RTM_NEWLINK || head->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return -EBADMSG;
    ret->attrs = IFLA_RTA(NLMSG_DATA(head));
    ret->attrs_bytes = (int)IFLA_PAYLOAD(head);
    return 0;
}

/* What rtnetlink knows of an interface in the socket's network namespace. By name, and with calls that the
 * broker's filter has. */
static int ask_link_over(int fd, const char *name, struct link *ret)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
        struct rtattr attr;
        char name[IFNAMSIZ];
    } ask = { .head = { .nlmsg_len = sizeof ask,
                        .nlmsg_type = RTM_GETLINK,
                        .nlmsg_flags = NLM_F_REQUEST,
                        .nlmsg_seq = (uint32_t)now_ns() },
              .attr = { .rta_type = IFLA_IFNAME } };
    size_t len = strlen(name) + 1;

    if (len > sizeof ask.name)
        return -ENODEV;
    memcpy(ask.name, name, len);
    ask.attr.rta_len = (unsigned short)RTA_LENGTH(len);
    if (send(fd, &ask, sizeof ask, MSG_DONTWAIT) < 0)
        return -errno;
    return read_answer(fd, ask.head.nlmsg_seq, ret);
}

/* False where there is none. */
static bool ask_link(const char *name, struct link *ret)
{
    cleanup_(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    return fd >= 0 && ask_link_over(fd, name, ret) == 0;
}

static const struct rtattr *find(const struct rtattr *attr, int left, unsigned type)
{
    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
        if ((attr->rta_type & NLA_TYPE_MASK) == type && RTA_PAYLOAD(attr) >= 1)
            return attr;
    return NULL;
}

static const struct rtattr *find_below(const struct rtattr *attr, unsigned type)
{
    return attr ? find(RTA_DATA(attr), (int)RTA_PAYLOAD(attr), type) : NULL;
}

static bool is_set(const struct rtattr *attr)
{
    return attr && *(const uint8_t *)RTA_DATA(attr) != 0;
}

/* Ethtool, sysfs and IFF_RUNNING tell of no carrier where the interface is down; this does. */
static bool has_carrier(const struct link *link)
{
    return is_set(find(link->attrs, link->attrs_bytes, IFLA_CARRIER));
}

bool resources_tap_has_carrier(const char *name)
{
    struct link link;

    return ask_link(name, &link) && has_carrier(&link);
}

/* What the tun driver says of an interface of its own; NULL: it is another driver's. */
static const struct rtattr *tun_data(const struct link *link)
{
    const struct rtattr *info = find(link->attrs, link->attrs_bytes, IFLA_LINKINFO);
    const struct rtattr *kind = find_below(info, IFLA_INFO_KIND);

    if (!kind || RTA_PAYLOAD(kind) != sizeof "tun" ||
        memcmp(RTA_DATA(kind), "tun", sizeof "tun") != 0)
        return NULL;
    return find_below(info, IFLA_INFO_DATA);
}

/* TUNGETIFF can't tell: its bit for "no packet information" also means "no filter". */
bool resources_tap_has_pi(const char *name)
{
    struct link link;

    return ask_link(name, &link) && is_set(find_below(tun_data(&link), IFLA_TUN_PI));
}

static enum tap_kind kind_of(const struct link *link)
{
    const struct rtattr *data = tun_data(link), *type = find_below(data, IFLA_TUN_TYPE);

    if (!type || *(const uint8_t *)RTA_DATA(type) != IFF_TAP)
        return TAP_KIND_OTHER;
    return is_set(find_below(data, IFLA_TUN_MULTI_QUEUE)) ? TAP_KIND_MULTI_QUEUE : TAP_KIND_SINGLE;
}

enum tap_kind resources_tap_kind(const char *name)
{
    struct link link;

    return ask_link(name, &link) ? kind_of(&link) : TAP_KIND_NONE;
}

static uint32_t number(const struct rtattr *attr)
{
    uint32_t value = 0;

    if (attr && RTA_PAYLOAD(attr) == sizeof value)
        memcpy(&value, RTA_DATA(attr), sizeof value);
    return value;
}

int resources_tap_ask(int rtnetlink, const char *name, struct tap_facts *ret)
{
    const struct rtattr *data;
    struct link link;
    int r = ask_link_over(rtnetlink, name, &link);

    if (r < 0)
        return r;
    data = tun_data(&link);
    *ret = (struct tap_facts){ .kind = kind_of(&link),
                               .has_carrier = has_carrier(&link),
                               .queues = number(find_below(data, IFLA_TUN_NUM_QUEUES)) +
                                         number(find_below(data, IFLA_TUN_NUM_DISABLED_QUEUES)) };
    return 0;
}

/* One byte of /dev/net/tun stands for the interface of this name in this network namespace (FNV-1a,
 * 62 bits). Two that share a byte only wait for each other. */
static off_t turn_byte(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    struct stat netns = { 0 };

    (void)stat("/proc/self/ns/net", &netns);
    for (unsigned i = 0; i < sizeof netns.st_ino; i++)
        hash = (hash ^ ((netns.st_ino >> (8 * i)) & 0xff)) * 0x100000001b3ull;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
    return (off_t)(hash >> 2);
}

int resources_tap_take_turn(const char *name)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = turn_byte(name), .l_len = 1
    };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    for (int ms = 0; fd >= 0 && ms <= RESOURCES_PATIENCE_MS; ms += RESOURCES_RETRY_MS) {
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
            break;
        resources_wait_a_little();
    }
    return fd;
}

static int set_address(int sock, struct ifreq *req, unsigned long what, uint32_t value)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(value) };

    memcpy(&req->ifr_addr, &sin, sizeof sin);
    return ioctl(sock, what, req);
}

static int configure(int sock, struct ifreq *req, const Bulkhead__NetConfig *n, struct fault *f)
{
    if (n->mtu != 0) {
        req->ifr_mtu = (int)n->mtu;
        if (ioctl(sock, SIOCSIFMTU, req) < 0)
            return fault_input(f, "%s: %s does not take MTU %u: %s: give another mtu=", n->id,
                               n->tap, n->mtu, strerror(errno));
    }
    if (n->host_mac.len == 6) {
        memset(&req->ifr_ifru, 0, sizeof req->ifr_ifru);
        req->ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(req->ifr_hwaddr.sa_data, n->host_mac.data, 6);
        if (ioctl(sock, SIOCSIFHWADDR, req) < 0)
            return fault_input(f, "%s: %s does not take this host_mac: %s", n->id, n->tap,
                               strerror(errno));
    }
    if (n->ip != 0 && (set_address(sock, req, SIOCSIFADDR, n->ip) < 0 ||
                       (n->mask != 0 && set_address(sock, req, SIOCSIFNETMASK, n->mask) < 0)))
        return fault_input(f, "%s: %s does not take this ip or mask: %s", n->id, n->tap,
                           strerror(errno));
    if (ioctl(sock, SIOCGIFFLAGS, req) < 0)
        return fault_host(f, errno, "%s: flags of %s: %s", n->id, n->tap, strerror(errno));
    if (!(req->ifr_flags & IFF_UP)) {
        req->ifr_flags |= IFF_UP;
        if (ioctl(sock, SIOCSIFFLAGS, req) < 0)
            return fault_input(f, "%s: can't bring %s up: %s: run as root or bring it up before",
                               n->id, n->tap, strerror(errno));
    }
    return 0;
}

/* As far as the user asked: an interface that was set up by somebody else needs none of it, and then
 * no privilege. */
int resources_tap_configure(const Bulkhead__NetConfig *n, struct fault *f)
{
    cleanup_(fd_closep) int sock = -1;
    struct ifreq req = { 0 };

    if (strcmp(n->mode, "tap") != 0)
        return 0;
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return fault_host(f, errno, "%s: socket: %s", n->id, strerror(errno));
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", n->tap);
    return configure(sock, &req, n, f);
}

bool resources_tap_flags(const char *name, short *ret_flags)
{
    cleanup_(fd_closep) int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct ifreq req = { 0 };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
        return false;
    *ret_flags = req.ifr_flags;
    return true;
}

void resources_tap_await_gone(const char *tap)
{
    short unused;

    for (int ms = 0; ms < RESOURCES_PATIENCE_MS && resources_tap_flags(tap, &unused);
         ms += RESOURCES_RETRY_MS)
        resources_wait_a_little();
}
