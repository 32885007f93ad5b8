/* SPDX-License-Identifier: Apache-2.0 */
/* roles.c - see roles.h. */
#include "roles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"

static uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 0x33 };

static void configure(Bulkhead__Configure *c, void *arg)
{
    struct role *role = arg;

    switch ((int)role->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        c->role_case = BULKHEAD__CONFIGURE__ROLE_BLK;
        c->blk = &role->config.blk;
        break;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        c->role_case = BULKHEAD__CONFIGURE__ROLE_CONSOLE;
        c->console = &role->config.console;
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        c->role_case = BULKHEAD__CONFIGURE__ROLE_NET;
        c->net = &role->config.net;
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        c->role_case = BULKHEAD__CONFIGURE__ROLE_VSOCK;
        c->vsock = &role->config.vsock;
        break;
    case BULKHEAD__ROLE__ROLE_BALLOON:
        c->role_case = BULKHEAD__CONFIGURE__ROLE_BALLOON;
        c->balloon = &role->config.balloon;
        break;
    default:
        break;
    }
}

static int disk(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
        wh_die("a disk: %s", strerror(errno));
    return fd;
}

static int stream(struct role *role)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        wh_die("socketpair: %s", strerror(errno));
    role->peer = pair[1];
    return pair[0];
}

/* A tap that is up, in a network namespace of the test's. */
static int tap(void)
{
    int fd = wh_try_tap("", false), sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = { 0 };

    if (fd < 0 || sock < 0 || ioctl(fd, TUNGETIFF, &req) < 0)
        wh_die("a tap: %s", strerror(errno));
    req.ifr_flags = IFF_UP;
    if (ioctl(sock, SIOCSIFFLAGS, &req) < 0)
        wh_die("%s: %s", req.ifr_name, strerror(errno));
    close(sock);
    return fd;
}

static int listener(void)
{
    const sa_family_t autobind = AF_UNIX;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&autobind, sizeof autobind) < 0 ||
        listen(fd, 16) < 0)
        wh_die("a listening socket: %s", strerror(errno));
    return fd;
}

static void fill(struct role *role, struct wh_config *c)
{
    switch ((int)role->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        bulkhead__blk_config__init(&role->config.blk);
        role->config.blk.size = 1 << 20;
        role->config.blk.block_size = 512;
        role->config.blk.use_io_uring = true;
        role->config.blk.discard = true;
        c->own_fds[c->n_own_fds++] = disk();
        break;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        bulkhead__console_worker_config__init(&role->config.console);
        role->config.console.virtio = true;
        role->config.console.mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
        c->own_fds[c->n_own_fds++] = listener();
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        bulkhead__net_worker_config__init(&role->config.net);
        role->config.net.mac = (ProtobufCBinaryData){ .len = sizeof mac, .data = mac };
        role->config.net.queue_pairs = 1;
        role->config.net.stream = !role->tap;
        role->config.net.use_io_uring = true;
        c->own_fds[c->n_own_fds++] = role->tap ? tap() : stream(role);
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        bulkhead__vsock_worker_config__init(&role->config.vsock);
        role->config.vsock.cid = 3;
        c->own_fds[c->n_own_fds++] = listener();
        break;
    case BULKHEAD__ROLE__ROLE_BALLOON:
        bulkhead__balloon_worker_config__init(&role->config.balloon);
        role->config.balloon.free_page_reporting = true;
        break;
    default:
        break;
    }
}

bool role_possible(unsigned which)
{
    static bool own_namespace;

    if (which != ROLE_AT_A_TAP)
        return true;
    own_namespace = own_namespace || unshare(CLONE_NEWNET) == 0;
    return own_namespace && access("/dev/net/tun", R_OK | W_OK) == 0;
}

void role_new(struct role *ret_role, unsigned which, const char *failpoint)
{
    static const struct {
        const char *name;
        Bulkhead__Role role;
        unsigned n_queues;
    } roles[ROLES_N] = {
        { "rng", BULKHEAD__ROLE__ROLE_RNG, 1 },
        { "blk", BULKHEAD__ROLE__ROLE_BLK, 2 },
        { "console", BULKHEAD__ROLE__ROLE_CONSOLE, 2 },
        { "net", BULKHEAD__ROLE__ROLE_NET, 3 },
        { "vsock", BULKHEAD__ROLE__ROLE_VSOCK, 3 },
        { "balloon", BULKHEAD__ROLE__ROLE_BALLOON, 4 },
        [ROLE_AT_A_TAP] = { "net", BULKHEAD__ROLE__ROLE_NET, 3 },
    };
    static char programs[ROLES_N][32];
    struct wh_config c = { .program = programs[which],
                           .configure = configure,
                           .arg = ret_role,
                           .n_queues = roles[which].n_queues,
                           .queue_size = 64,
                           .ram_bytes = 16u << 20,
                           .judge_as = roles[which].role,
                           .failpoint = failpoint };

    snprintf(programs[which], sizeof programs[which], "bulkhead-dev-%s", roles[which].name);
    *ret_role = (struct role){ .name = roles[which].name,
                               .role = roles[which].role,
                               .peer = -1,
                               .tap = which == ROLE_AT_A_TAP };
    fill(ret_role, &c);
    ret_role->wh = wh_new(&c);
}

void role_free(struct role *role)
{
    wh_free(role->wh);
    fd_closep(&role->peer);
}
