/* SPDX-License-Identifier: Apache-2.0 */
/* net_bench.c - the network worker in its sandbox between a ring and a tap, both ways, and as the
 * measure of what a tap costs at all a plain loop of reads or writes on such a tap, in turns. One
 * line for each measurement: side, point, frames per second, and per frame the CPU time of the
 * process at the tap, kicks and interrupts. The script `net` makes the table.
 *
 * Frames to the host end in its stack, which knows no such protocol. Frames to the guest come from
 * a packet socket, in bursts that are waited for, so that none is dropped.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "net_driver.h"
#include "pin.h"

enum { BURST = 64, RX_BUFFERS = 250, MAX_BYTES = 65226, DRIVER_CPU = 0, DEVICE_CPU = 1 };

static const struct point {
    const char *name;
    bool to_host;
    uint32_t bytes;
    unsigned depth; /* frames under way to the host, or of a burst to the guest */
} points[] = {
    { "to-host-64", true, 64, BURST },
    { "to-host-1514", true, 1514, BURST },
    { "to-host-1514-two", true, 1514, 2 }, /* as TCP does that waits for its small queue */
    { "to-host-64k-tso", true, MAX_BYTES, BURST },
    { "to-guest-64", false, 64, BURST },
    { "to-guest-1514", false, 1514, BURST },
    { "to-guest-1514-two", false, 1514, 2 },
    { "to-guest-64k-tso", false, MAX_BYTES, BURST / 8 }, /* as fits the ring */
};

/* What the plain loop shares with the driver. */
struct shared {
    uint64_t frames; /* that it has moved */
    uint32_t bytes;  /* of each frame */
    bool to_host, stop;
};

struct side {
    const char *name;
    struct nic *nic;           /* NULL: the plain loop */
    struct shared *shared;     /* of the plain loop */
    int tap, packet, go, done; /* go, done: eventfds of the plain loop */
    pid_t pid;
    int slot_of_head[256];
};

struct result {
    uint64_t frames, ns, cpu_ns, kicks, interrupts;
};

static uint8_t frame[HDR + MAX_BYTES];

static uint64_t cpu_ns(pid_t pid)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        wh_die("the CPU time of %d can't be read", pid);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_tap(const char *name)
{
    int fd = wh_try_tap(name, false);

    if (fd < 0 || ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
        wh_die("tap: %s", strerror(errno));
    return fd;
}

/* Sends on the interface, with a virtio header before each frame; receives nothing. */
static int open_packet(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_ll addr = { .sll_family = AF_PACKET };
    struct ifreq req = { 0 };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) < 0)
        wh_die("packet socket: %s", strerror(errno));
    req.ifr_flags |= IFF_UP | IFF_NOARP;
    addr.sll_ifindex = (int)if_nametoindex(name);
    if (ioctl(fd, SIOCSIFFLAGS, &req) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) < 0)
        wh_die("packet socket: %s", strerror(errno));
    return fd;
}

/* A frame of that size; the large one is a TCP segment to be cut. */
static void make_frame(uint32_t bytes, unsigned header_bytes)
{
    static const uint8_t ip[] = { 0x45, 0, 0,  0, 0, 0, 0x40, 0, 64, 6,
                                  0,    0, 10, 9, 9, 1, 10,   9, 9,  2 };
    struct virtio_net_hdr_v1 hdr = { 0 };
    uint8_t *eth = frame + header_bytes;

    netd_fill_frame(eth, bytes, 0x5a);
    memset(eth, 2, 6); /* to nobody here */
    if (bytes > 1514) {
        hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                          .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                          .hdr_len = 54,
                                          .gso_size = 1460,
                                          .csum_start = 34,
                                          .csum_offset = 16 };
        eth[12] = 0x08;
        eth[13] = 0x00;
        memcpy(eth + 14, ip, sizeof ip);
        eth[16] = (uint8_t)((bytes - 14) >> 8);
        eth[17] = (uint8_t)(bytes - 14);
        eth[46] = 0x50; /* a TCP header of 20 bytes */
    }
    memcpy(frame, &hdr, header_bytes);
}

/* ---- the plain loop ---- */

static void wait_for(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, WH_PATIENCE_MS) != 1)
        wh_die("nothing comes from the other side");
}

static void move_plainly(const struct side *side)
{
    static uint8_t buffer[HDR + 65535];
    struct shared *s = side->shared;
    uint64_t told = 0;

    make_frame(s->bytes, HDR);
    while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
        ssize_t n = s->to_host ? write(side->tap, frame, HDR + s->bytes)
                               : read(side->tap, buffer, sizeof buffer);

        if (n == (ssize_t)(HDR + s->bytes)) {
            __atomic_fetch_add(&s->frames, 1, __ATOMIC_RELEASE);
        } else if (n < 0 && s->frames != told) {
            told = s->frames;
            fd_event_signal(side->done);
        } else if (n < 0) {
            struct pollfd p[] = { { .fd = side->tap, .events = POLLIN },
                                  { .fd = side->go, .events = POLLIN } };

            (void)poll(p, 2, -1);
        }
    }
}

static _Noreturn void plain_process(const struct side *side)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(0, DEVICE_CPU);
    for (;;) {
        wait_for(side->go);
        fd_event_drain(side->go);
        if (!__atomic_load_n(&side->shared->stop, __ATOMIC_ACQUIRE))
            move_plainly(side);
        fd_event_drain(side->go);
        fd_event_signal(side->done);
    }
}

static struct side plain_side(void)
{
    struct side side = { .name = "plain",
                         .tap = open_tap("bhplain"),
                         .go = eventfd(0, EFD_NONBLOCK),
                         .done = eventfd(0, EFD_NONBLOCK) };

    side.packet = open_packet("bhplain");
    side.shared =
        mmap(NULL, sizeof *side.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (side.shared == MAP_FAILED)
        wh_die("no memory");
    side.pid = fork();
    if (side.pid < 0)
        wh_die("fork: %s", strerror(errno));
    if (side.pid == 0)
        plain_process(&side);
    return side;
}

/* ---- the worker ---- */

static struct side our_side(void)
{
    struct side side = { .name = "bulkhead", .tap = open_tap("bhring") };
    struct nic *n;

    side.packet = open_packet("bhring");
    n = side.nic = netd_new(false, &side.tap, 1, -1);
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    side.pid = n->wh->pid;
    pin(side.pid, DEVICE_CPU);
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        netd_give_buffer(n, i, BUF);
    return side;
}

static void add_tx(struct side *side, unsigned slot, uint32_t bytes)
{
    struct wh_buf buf = { netd_tx_at(side->nic, slot), HDR + bytes, false };
    int head = wh_add(side->nic->wh, TX, &buf, 1, false);

    if (head < 0)
        wh_die("the ring is full");
    side->slot_of_head[head] = (int)slot;
}

static uint64_t send_ring(struct side *side, const struct point *p, uint64_t end)
{
    struct wh *wh = side->nic->wh;
    uint64_t frames = 0;
    unsigned under_way = p->depth;
    uint16_t head = 0;
    uint32_t len = 0;

    for (unsigned slot = 0; slot < p->depth; slot++) {
        memcpy(wh_mem(wh, netd_tx_at(side->nic, slot), HDR + p->bytes), frame, HDR + p->bytes);
        add_tx(side, slot, p->bytes);
    }
    wh_kick(wh, TX);
    while (under_way > 0) {
        bool again = wh_now_ns() < end;

        wh_wait_used(wh, TX, &head, &len);
        do {
            frames++;
            under_way--;
            if (again) {
                add_tx(side, (unsigned)side->slot_of_head[head], p->bytes);
                under_way++;
            }
        } while (wh_try_used(wh, TX, &head, &len));
        if (again)
            wh_kick(wh, TX);
    }
    return frames;
}

/* Takes n frames out of the receive ring and gives the buffers back. */
static void receive_ring(struct side *side, const struct point *p, unsigned n)
{
    struct wh *wh = side->nic->wh;
    uint16_t head = 0;
    uint32_t len = 0, bytes = 0;

    for (unsigned i = 0; i < n;) {
        struct wh_buf buf = { .len = BUF, .write = true };

        wh_wait_used(wh, RX, &head, &len);
        buf.addr = wh->queues[RX].vring.desc[head].addr;
        bytes += len;
        if (bytes >= HDR + p->bytes) {
            i++;
            bytes = 0;
        }
        (void)wh_add(wh, RX, &buf, 1, false);
        wh_kick(wh, RX);
    }
}

/* ---- measuring ---- */

static void send_packets(const struct side *side, const struct point *p, unsigned n)
{
    struct iovec iov = { frame, sizeof(struct virtio_net_hdr) + p->bytes };
    struct mmsghdr msgs[BURST] = { 0 };

    for (unsigned i = 0; i < n; i++)
        msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
    for (unsigned i = 0; i < n;) {
        int sent = sendmmsg(side->packet, msgs + i, n - i, 0);

        if (sent < 0)
            wh_die("sending: %s", strerror(errno));
        i += (unsigned)sent;
    }
}

static uint64_t measure_to_guest(struct side *side, const struct point *p, uint64_t end)
{
    unsigned burst = p->depth;
    uint64_t frames = 0;

    make_frame(p->bytes, sizeof(struct virtio_net_hdr));
    for (; wh_now_ns() < end; frames += burst) {
        send_packets(side, p, burst);
        if (side->nic) {
            receive_ring(side, p, burst);
            continue;
        }
        while (__atomic_load_n(&side->shared->frames, __ATOMIC_ACQUIRE) < frames + burst) {
            wait_for(side->done);
            fd_event_drain(side->done);
        }
    }
    return frames;
}

static void start_plain(struct side *side, const struct point *p)
{
    *side->shared = (struct shared){ .bytes = p->bytes, .to_host = p->to_host };
    fd_event_drain(side->done);
    fd_event_signal(side->go);
    if (!p->to_host)
        while (poll(&(struct pollfd){ .fd = side->go, .events = POLLIN }, 1, 0) == 1)
            sched_yield();
}

static void stop_plain(struct side *side)
{
    __atomic_store_n(&side->shared->stop, true, __ATOMIC_RELEASE);
    fd_event_drain(side->done);
    fd_event_signal(side->go);
    wait_for(side->done);
}

static void run_for(struct side *side, const struct point *p, uint64_t ms, struct result *ret)
{
    struct wh_queue *q = side->nic ? &side->nic->wh->queues[p->to_host ? TX : RX] : NULL;
    uint64_t start = wh_now_ns(), end = start + ms * 1000000, cpu = cpu_ns(side->pid);

    *ret = (struct result){ .kicks = q ? q->kicks : 0, .interrupts = q ? q->interrupts : 0 };
    make_frame(p->bytes, HDR);
    if (!side->nic)
        start_plain(side, p);
    if (!p->to_host)
        ret->frames = measure_to_guest(side, p, end);
    else if (side->nic)
        ret->frames = send_ring(side, p, end);
    else
        while (wh_now_ns() < end)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    if (!side->nic && p->to_host)
        ret->frames = __atomic_load_n(&side->shared->frames, __ATOMIC_ACQUIRE);
    ret->ns = wh_now_ns() - start;
    ret->cpu_ns = cpu_ns(side->pid) - cpu;
    ret->kicks = q ? q->kicks - ret->kicks : 0;
    ret->interrupts = q ? q->interrupts - ret->interrupts : 0;
    if (!side->nic)
        stop_plain(side);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5,
             ms = argc > 2 ? (unsigned)atoi(argv[2]) : 200;
    struct side sides[2];
    struct result r;

    if (unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "net_bench: a network namespace: %s (needs root)\n", strerror(errno));
        return 77;
    }
    pin(0, DRIVER_CPU);
    sides[1] = plain_side();
    sides[0] = our_side();
    for (unsigned round = 0; round <= rounds; round++)
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
            for (unsigned s = 0; s < 2; s++) {
                double n;

                run_for(&sides[s], &points[i], round == 0 ? 50 : ms, &r);
                n = r.frames ? (double)r.frames : 1;
                if (round > 0) /* the first warms up */
                    printf("%s %s %u %.0f %.1f %.3f %.3f %.3f\n", sides[s].name, points[i].name,
                           round, n * 1e9 / (double)r.ns, n * points[i].bytes * 1e3 / (double)r.ns,
                           (double)r.cpu_ns / n / 1e3, (double)r.kicks / n,
                           (double)r.interrupts / n);
                fflush(stdout);
            }
    kill(sides[1].pid, SIGKILL);
    waitpid(sides[1].pid, NULL, 0);
    netd_free(sides[0].nic);
    return 0;
}
