/* SPDX-License-Identifier: Apache-2.0 */
/* blk_bench.c - the disk worker in its sandbox and qemu-storage-daemon's vhost-user export of the
 * same file, driven by the same ring driver, in turns with a plain loop on the file. One line for
 * each measurement: side, point, requests per second, and per request the device process's CPU
 * time, kicks and interrupts. The script `blk` makes the file and the table.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "blk_driver.h"
#include "blk_plain.h"
#include "pin.h"
#include "vhost_user.h"

static struct options {
    const char *path, *aio, *only;
    uint64_t bytes;
    bool direct, iothread;
    unsigned rounds, ms;
    int driver_cpu, device_cpu;
} opt = { .aio = "io_uring", .rounds = 5, .ms = 300, .driver_cpu = 0, .device_cpu = 1 };

static const struct point {
    const char *name;
    bool write, sequential;
    uint32_t bytes;
    unsigned depth;
} points[] = {
    { "randread-4k-qd1", false, false, 4096, 1 },   { "randread-4k-qd16", false, false, 4096, 16 },
    { "randread-4k-qd64", false, false, 4096, 64 }, { "randwrite-4k-qd1", true, false, 4096, 1 },
    { "randwrite-4k-qd16", true, false, 4096, 16 }, { "randwrite-4k-qd64", true, false, 4096, 64 },
    { "read-128k-qd16", false, true, 131072, 16 },  { "write-128k-qd16", true, true, 131072, 16 },
};

struct side {
    const char *name;
    struct blkd *d;
    pid_t pid;
    struct blk_plain *plain; /* in place of the other two */
};

struct result {
    uint64_t requests, ns, cpu_ns, kicks, interrupts;
};

static uint64_t cpu_ns(pid_t pid)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        wh_die("the CPU time of %d can't be read", pid);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the two sides ---- */

static struct blkd_options disk_options(void)
{
    return (struct blkd_options){ .path = opt.path, .bytes = opt.bytes, .direct = opt.direct };
}

static struct side our_side(void)
{
    struct blkd_options o = disk_options();
    struct side side = { .name = "bulkhead", .d = blkd_new(&o) };

    side.pid = side.d->wh->pid;
    pin_threads(side.pid, opt.device_cpu);
    return side;
}

/* A listening socket without a name in the file system, and a connection to it. */
static int listen_and_connect(int *ret_listener)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t len = sizeof address;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0); /* inherited by the peer */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || fd < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address.sun_family) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&address, &len) < 0 ||
        connect(fd, (struct sockaddr *)&address, len) < 0)
        wh_die("socket: %s", strerror(errno));
    *ret_listener = listener;
    return fd;
}

static _Noreturn void exec_peer(int listener)
{
    char file[4200], export[200];
    const char *argv[] = { "qemu-storage-daemon",
                           "--object",
                           "iothread,id=t",
                           "--blockdev",
                           file,
                           "--export",
                           export,
                           NULL };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(0, opt.device_cpu);
    snprintf(file, sizeof file,
             "driver=file,node-name=n,filename=%s,cache.direct=%s,aio=%s,discard=unmap", opt.path,
             opt.direct ? "on" : "off", opt.aio);
    snprintf(export, sizeof export,
             "type=vhost-user-blk,id=e,node-name=n,addr.type=fd,addr.str=%d,writable=on%s",
             listener, opt.iothread ? ",iothread=t" : "");
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    perror(argv[0]);
    _exit(127);
}

static struct side their_side(void)
{
    struct blkd_options o = disk_options();
    struct side side = { .name = "qemu", .d = blkd_new_without_worker(&o) };
    int listener = -1;
    int fd = listen_and_connect(&listener);

    side.pid = fork();
    if (side.pid < 0)
        wh_die("fork: %s", strerror(errno));
    if (side.pid == 0)
        exec_peer(listener);
    close(listener);
    vhost_user_attach(side.d->wh, fd,
                      1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                          1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_FLUSH);
    return side; /* the connection lives as long as this process */
}

/* ---- measuring ---- */

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void add_one(struct side *side, const struct point *p, unsigned slot, uint64_t *position)
{
    uint64_t blocks = opt.bytes / p->bytes;
    uint64_t block = p->sequential ? (*position)++ % blocks : next_random() % blocks;
    struct blkd_request r = { .type = p->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
                              .sector = block * (p->bytes / 512),
                              .addr = side->d->data + (uint64_t)slot * p->bytes,
                              .len = p->bytes,
                              .indirect = true };

    blkd_add(side->d, 0, slot, &r);
}

/* Takes all answers there are, at least one; with `again` each is followed by a new request. */
static unsigned take_answers(struct side *side, const struct point *p, bool again,
                             uint64_t *position)
{
    uint8_t status = 0;
    uint32_t len = 0;
    int slot = (int)blkd_wait(side->d, 0, &status, &len);
    unsigned n = 0;

    for (; slot >= 0; slot = blkd_try(side->d, 0, &status, &len)) {
        if (status != VIRTIO_BLK_S_OK || len != (p->write ? 1 : p->bytes + 1))
            wh_die("%s: status %u, %u bytes", side->name, status, len);
        if (again)
            add_one(side, p, (unsigned)slot, position);
        n++;
    }
    if (again)
        wh_kick(side->d->wh, 0);
    return n;
}

static void run_for(struct side *side, const struct point *p, uint64_t ms, struct result *ret)
{
    struct wh_queue *queue = &side->d->wh->queues[0];
    uint64_t kicks = queue->kicks, interrupts = queue->interrupts, cpu = cpu_ns(side->pid);
    uint64_t start = wh_now_ns(), end = start + ms * 1000000, position = next_random();
    unsigned under_way = p->depth;

    *ret = (struct result){ 0 };
    for (unsigned slot = 0; slot < p->depth; slot++)
        add_one(side, p, slot, &position);
    wh_kick(side->d->wh, 0);
    while (wh_now_ns() < end)
        ret->requests += take_answers(side, p, true, &position);
    while (under_way > 0) {
        unsigned n = take_answers(side, p, false, &position);

        ret->requests += n;
        under_way -= n;
    }
    ret->ns = wh_now_ns() - start;
    ret->cpu_ns = cpu_ns(side->pid) - cpu;
    ret->kicks = queue->kicks - kicks;
    ret->interrupts = queue->interrupts - interrupts;
}

static void run_plain(struct side *side, const struct point *p, uint64_t ms, struct result *ret)
{
    const struct blk_plain_work work = { .write = p->write,
                                         .sequential = p->sequential,
                                         .bytes = p->bytes,
                                         .depth = p->depth,
                                         .ms = ms,
                                         .random = next_random };

    *ret = (struct result){ 0 };
    pin(0, opt.device_cpu);
    ret->requests = blk_plain_run(side->plain, &work, &ret->ns, &ret->cpu_ns);
    pin(0, opt.driver_cpu);
}

static void print_result(const struct side *side, const struct point *p, unsigned round,
                         const struct result *r)
{
    double n = (double)r->requests, s = (double)r->ns / 1e9;

    printf("%s %s %u %.0f %.1f %.3f %.3f %.3f\n", side->name, p->name, round, n / s,
           n * p->bytes / s / 1e6, (double)r->cpu_ns / n / 1e3, (double)r->kicks / n,
           (double)r->interrupts / n);
    fflush(stdout);
}

/* Round 0 warms up: caches, the kernel's worker threads. */
static void measure_point(struct side *side, const struct point *p, unsigned round)
{
    uint64_t ms = round == 0 ? 50 : opt.ms;
    struct result r;

    if (side->plain)
        run_plain(side, p, ms, &r);
    else
        run_for(side, p, ms, &r);
    if (round > 0)
        print_result(side, p, round, &r);
    else if (!side->plain)
        pin_threads(side->pid, opt.device_cpu);
}

static void measure(struct side *sides, unsigned n_sides)
{
    for (unsigned round = 0; round <= opt.rounds; round++)
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
            for (unsigned s = 0; s < n_sides; s++)
                if (!opt.only || strcmp(points[i].name, opt.only) == 0)
                    measure_point(&sides[s], &points[i], round);
}

static void end_side(const struct side *side)
{
    if (side->plain) {
        blk_plain_free(side->plain);
        return;
    }
    if (strcmp(side->name, "qemu") == 0) {
        kill(side->pid, SIGTERM);
        waitpid(side->pid, NULL, 0);
    }
    blkd_free(side->d);
}

static void usage(void)
{
    fputs("usage: blk_bench --path FILE --bytes N [--direct] [--rounds N] [--ms N] [--aio HOW]\n"
          "                 [--iothread] [--only POINT] [--side bulkhead|qemu|plain]\n"
          "                 [--same-cpu]\n",
          stderr);
    exit(2);
}

static unsigned number(const char *text, unsigned max)
{
    unsigned long n = strtoul(text, NULL, 10);

    if (n == 0 || n > max)
        usage();
    return (unsigned)n;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "path", required_argument, NULL, 'p' },
        { "bytes", required_argument, NULL, 'b' },
        { "direct", no_argument, NULL, 'd' },
        { "rounds", required_argument, NULL, 'r' },
        { "ms", required_argument, NULL, 'm' },
        { "aio", required_argument, NULL, 'a' },
        { "iothread", no_argument, NULL, 't' },
        { "only", required_argument, NULL, 'o' },
        { "side", required_argument, NULL, 's' },
        { "same-cpu", no_argument, NULL, 'c' },
        { 0 },
    };
    const char *only_side = NULL;
    struct side sides[3];
    unsigned n = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (c) {
        case 'p':
            opt.path = optarg;
            break;
        case 'b':
            opt.bytes = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            opt.direct = true;
            break;
        case 'r':
            opt.rounds = number(optarg, 1000);
            break;
        case 'm':
            opt.ms = number(optarg, 100000);
            break;
        case 'a':
            opt.aio = optarg;
            break;
        case 't':
            opt.iothread = true;
            break;
        case 'o':
            opt.only = optarg;
            break;
        case 's':
            only_side = optarg;
            break;
        case 'c':
            opt.device_cpu = opt.driver_cpu;
            break;
        default:
            usage();
        }
    if (!opt.path || opt.bytes < 1u << 20)
        usage();
    pin(0, opt.driver_cpu);
    if (!only_side || strcmp(only_side, "bulkhead") == 0)
        sides[n++] = our_side();
    if (!only_side || strcmp(only_side, "qemu") == 0)
        sides[n++] = their_side();
    if (!only_side || strcmp(only_side, "plain") == 0)
        sides[n++] = (struct side){ .name = "plain",
                                    .plain = blk_plain_new(opt.path, opt.bytes, opt.direct) };
    measure(sides, n);
    for (unsigned s = 0; s < n; s++)
        end_side(&sides[s]);
    return 0;
}
