/* SPDX-License-Identifier: Apache-2.0 */
/* harness.c - the broker's side; see harness.h. harness_ring.c is the guest driver's. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "sandbox/gen/filter_start.h"
#include "sandbox/ids.h"
#include "sandbox/namespaces.h"
#include "sandbox/spawn.h"

void wh_die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("worker harness: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

uint64_t wh_now_ns(void)
{
    return now_ns();
}

static int make_memfd(const char *name, uint64_t bytes, void *ret_map)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *map;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        wh_die("memfd %s: %s", name, strerror(errno));
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        wh_die("mapping %s: %s", name, strerror(errno));
    memcpy(ret_map, &map, sizeof map);
    return fd;
}

struct wh *wh_new(const struct wh_config *config)
{
    struct wh *wh = calloc(1, sizeof *wh);
    int life[2];

    if (!wh || pipe2(life, O_CLOEXEC) < 0)
        wh_die("harness: %s", strerror(errno));
    wh->config = *config;
    wh->ram_bytes = config->ram_bytes ? config->ram_bytes : 64u << 20;
    wh->ram_fd = make_memfd("ram", wh->ram_bytes, &wh->ram);
    wh->stats_fd = make_memfd("stats", PAGE_BYTES, &wh->stats);
    wh->journal_fd = make_memfd(
        "journal",
        align_up(config->n_queues * inflight_region_bytes(config->queue_size) + 1, PAGE_BYTES),
        &wh->journal);
    wh->life_read_fd = life[0];
    wh->life_write_fd = life[1];
    wh->pidfd = wh->ring.fd = wh->old_ring.fd = wh->far_fd = -1;
    for (unsigned q = 0; q < config->n_queues; q++) {
        wh->queues[q].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        wh->queues[q].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return wh;
}

static void forget_worker(struct wh *wh)
{
    fd_closep(&wh->pidfd);
    channel_freep(&wh->channel);
    fd_closep(&wh->far_fd);
    wh->pid = 0;
}

bool wh_is_dead(struct wh *wh)
{
    struct pollfd p = { .fd = wh->pidfd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static bool is_ring_drained(struct wh *wh, const struct message *msg)
{
    if (msg->envelope->body_case != BULKHEAD__ENVELOPE__BODY_RING_DRAINED)
        return false;
    fd_closep(&wh->old_ring.fd);
    return true;
}

static bool is_disk(const struct wh *wh)
{
    return strstr(wh->config.program, "-blk") != NULL;
}

/* As the broker does: one that has not drained its predecessor's ring has not used its own. */
static void keep_ring(struct wh *wh)
{
    struct message msg = { 0 };

    while (wh->channel && channel_receive(wh->channel, false, &msg) == 0)
        (void)is_ring_drained(wh, &msg);
    if (wh->old_ring.fd >= 0 || !is_disk(wh)) {
        fd_closep(&wh->ring.fd);
        return;
    }
    wh->old_ring = wh->ring;
    wh->ring.fd = -1;
}

int wh_wait_exit(struct wh *wh)
{
    struct pollfd p = { .fd = wh->pidfd, .events = POLLIN };
    int status = 0;

    if (poll(&p, 1, WH_PATIENCE_MS) != 1)
        wh_die("%s does not end", wh->config.program);
    if (waitpid(wh->pid, &status, __WALL) != wh->pid)
        wh_die("waitpid: %s", strerror(errno));
    keep_ring(wh);
    forget_worker(wh);
    return status;
}

void wh_kill(struct wh *wh)
{
    kill(wh->pid, SIGKILL);
    (void)wh_wait_exit(wh);
}

void wh_free(struct wh *wh)
{
    if (wh->pid)
        wh_kill(wh);
    for (unsigned q = 0; q < wh->config.n_queues; q++) {
        fd_closep(&wh->queues[q].kick_fd);
        fd_closep(&wh->queues[q].call_fd);
    }
    for (unsigned i = 0; i < wh->config.n_own_fds; i++)
        fd_closep(&wh->config.own_fds[i]);
    munmap(wh->ram, wh->ram_bytes);
    munmap(wh->stats, PAGE_BYTES);
    fd_closep(&wh->ram_fd);
    fd_closep(&wh->stats_fd);
    fd_closep(&wh->journal_fd);
    fd_closep(&wh->ring.fd);
    fd_closep(&wh->old_ring.fd);
    fd_closep(&wh->life_read_fd);
    fd_closep(&wh->life_write_fd);
    free(wh);
}

/* ---- start ---- */

static void plain_spawn(struct wh *wh, const char *path, char *const *argv, const int *fds,
                        unsigned n_fds)
{
    wh->pid = fork();
    if (wh->pid < 0)
        wh_die("fork: %s", strerror(errno));
    if (wh->pid == 0) {
        int high[8];

        for (unsigned i = 0; i < n_fds; i++)
            high[i] = fcntl(fds[i], F_DUPFD, 100);
        for (unsigned i = 0; i < n_fds; i++)
            dup2(high[i], (int)i);
        syscall(SYS_close_range, n_fds, ~0u, 0u);
        execve(path, argv, (char *const[]){ NULL });
        _exit(127);
    }
    wh->pidfd = (int)syscall(SYS_pidfd_open, wh->pid, 0);
}

/* Room for an argument vector with rings and a failpoint. */
struct arguments {
    char path[4096], failpoint[64], ring[RING_TEXT_BYTES], old_ring[RING_TEXT_BYTES];
    char *argv[8];
    unsigned n;
    int fds[FD_CHILD_FIRST_FREE + 2];
    unsigned n_fds;
};

static void add_option(struct arguments *args, char *option, char *value)
{
    args->argv[args->n++] = option;
    args->argv[args->n++] = value;
}

static enum ring_purpose disk_ring(const struct wh *wh)
{
    struct stat st;

    return wh->config.n_own_fds > 0 && fstat(wh->config.own_fds[0], &st) == 0 && S_ISBLK(st.st_mode)
               ? RING_BLOCK_DEVICE
               : RING_DISK;
}

static void add_rings(struct wh *wh, struct arguments *args)
{
    static char ring[] = "--ring", old_ring[] = "--old-ring";

    fd_closep(&wh->ring.fd);
    if (is_disk(wh) && !wh->config.no_ring &&
        ring_make(disk_ring(wh), RING_DISK_ENTRIES, &wh->ring.params, &wh->ring.fd) < 0)
        wh->ring.fd = -1;
    if (strstr(wh->config.program, "-net") &&
        ring_make(RING_FRAMES, RING_FRAMES_ENTRIES, &wh->ring.params, &wh->ring.fd) < 0)
        wh->ring.fd = -1;
    if (wh->ring.fd >= 0) {
        ring_print(&wh->ring.params, args->ring);
        add_option(args, ring, args->ring);
        args->fds[args->n_fds++] = wh->ring.fd;
    }
    if (wh->old_ring.fd >= 0) {
        ring_print(&wh->old_ring.params, args->old_ring);
        add_option(args, old_ring, args->old_ring);
        args->fds[args->n_fds++] = wh->old_ring.fd;
    }
}

static void spawn(struct wh *wh, int control_fd)
{
    static char failpoint[] = "--failpoint";
    const char *bin = getenv("BULKHEAD_BIN");
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct arguments args = { .argv = { args.path },
                              .n = 1,
                              .fds = { null_fd, null_fd,
                                       wh->config.log_fd > 0 ? wh->config.log_fd : STDERR_FILENO,
                                       control_fd },
                              .n_fds = FD_CHILD_FIRST_FREE };
    struct sandbox_spawn how = { .program = args.path,
                                 .argv = args.argv,
                                 .fds = args.fds,
                                 .cgroup_fd = -1,
                                 .program_fd = -1,
                                 .filter = wh->config.handed_over ? &sandbox_filter_start : NULL };

    snprintf(args.path, sizeof args.path, "%s/%s", bin ? bin : "build/release/bin",
             wh->config.program);
    if (wh->config.failpoint) {
        snprintf(args.failpoint, sizeof args.failpoint, "%s", wh->config.failpoint);
        add_option(&args, failpoint, args.failpoint);
    }
    add_rings(wh, &args);
    how.n_fds = args.n_fds;
    if (geteuid() == 0)
        how.uid = how.gid = sandbox_uid(getpid(), wh->starts % 64);
    how.no_userns = sandbox_try_userns() < 0;
    if (wh->config.insecure)
        plain_spawn(wh, args.path, args.argv, args.fds, args.n_fds);
    else if (sandbox_spawn(&how, &wh->pid, &wh->pidfd, &wh->missing_layers) < 0)
        wh_die("starting %s: %s", args.path, err_text());
    fd_closep(&null_fd);
}

bool wh_has_message(struct wh *wh, int timeout_ms)
{
    struct pollfd p = { .fd = channel_fd(wh->channel), .events = POLLIN };

    return poll(&p, 1, timeout_ms) == 1;
}

static int judge(struct wh *wh, int r, const struct message *msg)
{
    if (r == 0)
        r = rules_check(RULE_FROM_CHILD, wh->config.judge_as, wh->state, msg->envelope, msg->n_fds);
    if (r < 0) {
        wh->refused = true;
        snprintf(wh->failure, sizeof wh->failure, "%s", err_text());
        return -1;
    }
    wh->state = rules_next(RULE_FROM_CHILD, wh->config.judge_as, wh->state, msg->envelope);
    return 0;
}

int wh_try_receive(struct wh *wh, struct message *ret_msg)
{
    int r;

    if (!wh_has_message(wh, WH_PATIENCE_MS))
        wh_die("%s says nothing", wh->config.program);
    r = channel_receive(wh->channel, true, ret_msg);
    if (r == CHANNEL_CLOSED)
        return -1;
    if (wh->config.judge_as != 0 && judge(wh, r, ret_msg) < 0)
        return -1;
    if (r < 0)
        wh_die("receiving: %s", err_text());
    if (is_ring_drained(wh, ret_msg))
        return wh_try_receive(wh, ret_msg);
    if (ret_msg->envelope->body_case != BULKHEAD__ENVELOPE__BODY_FAILED)
        return 0;
    snprintf(wh->failure, sizeof wh->failure, "%s", ret_msg->envelope->failed->what);
    return -1;
}

void wh_send_fd(struct wh *wh, const Bulkhead__Envelope *envelope, int fd)
{
    wh->state = rules_next(RULE_TO_CHILD, wh->config.judge_as, wh->state, envelope);
    if (channel_send(wh->channel, envelope, &fd, fd >= 0, true) < 0)
        wh_die("sending: %s", err_text());
}

void wh_send(struct wh *wh, const Bulkhead__Envelope *envelope)
{
    wh_send_fd(wh, envelope, -1);
}

static void send_configure(struct wh *wh)
{
    Bulkhead__MemoryRegion ram = BULKHEAD__MEMORY_REGION__INIT, *regions[] = { &ram };
    Bulkhead__Configure c = BULKHEAD__CONFIGURE__INIT;
    ENVELOPE(e, CONFIGURE, configure, &c);
    int fds[CHANNEL_MAX_FDS];
    unsigned n = 0;

    c.protocol = PROTOCOL_MAX;
    c.name = (char *)(uintptr_t)wh->config.program;
    c.ram_size = ram.size = wh->ram_bytes;
    c.regions = regions;
    c.n_regions = 1;
    c.address_end = wh->config.address_end;
    c.num_queues = wh->config.n_queues;
    c.queue_size = wh->config.queue_size;
    c.insecure = wh->config.insecure;
    c.restarted = wh->starts > 0;
    if (wh->config.configure)
        wh->config.configure(&c, wh->config.arg);
    if (c.role_case == BULKHEAD__CONFIGURE__ROLE_BLK && !c.blk->use_io_uring)
        fd_closep(&wh->ring.fd);
    fds[n++] = wh->ram_fd;
    fds[n++] = wh->stats_fd;
    fds[n++] = wh->life_read_fd;
    if (wh->config.n_queues)
        fds[n++] = wh->journal_fd;
    for (unsigned q = 0; q < wh->config.n_queues; q++)
        fds[n++] = wh->queues[q].kick_fd;
    for (unsigned q = 0; q < wh->config.n_queues; q++)
        fds[n++] = wh->queues[q].call_fd;
    for (unsigned i = 0; i < wh->config.n_own_fds; i++)
        fds[n++] = wh->config.own_fds[i];
    wh->state = rules_next(RULE_TO_CHILD, wh->config.judge_as, wh->state, &e);
    if (channel_send(wh->channel, &e, fds, n, true) < 0)
        wh_die("sending Configure: %s", err_text());
}

static void take_ready(struct wh *wh, const Bulkhead__Ready *ready)
{
    if (ready->announce) {
        wh->features = ready->announce->features;
        wh->virtio_id = ready->announce->virtio_id;
        wh->n_announced_queues = ready->announce->num_queues;
        wh->device_config_len = (unsigned)ready->announce->config.len;
        if (wh->device_config_len > 0)
            memcpy(wh->device_config, ready->announce->config.data, wh->device_config_len);
    }
    if (ready->old_ring_drained)
        fd_closep(&wh->old_ring.fd);
}

int wh_try_start(struct wh *wh)
{
    struct message msg = { 0 };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        wh_die("socketpair: %s", strerror(errno));
    wh->state = CHILD_STARTED;
    spawn(wh, pair[1]);
    fd_closep(&wh->far_fd);
    if (wh->config.away)
        wh->far_fd = fd_take(&pair[1]);
    fd_closep(&pair[1]);
    if (channel_new(&wh->channel, pair[0], CHANNEL_ARENA_BROKER) < 0)
        wh_die("channel: %s", err_text());
    if (wh_try_receive(wh, &msg) < 0)
        return -1;
    if (msg.envelope->body_case != BULKHEAD__ENVELOPE__BODY_HELLO)
        wh_die("no Hello but %s", rules_body_name(msg.envelope->body_case));
    send_configure(wh);
    if (wh_try_receive(wh, &msg) < 0)
        return -1;
    if (msg.envelope->body_case != BULKHEAD__ENVELOPE__BODY_READY)
        wh_die("no Ready but %s", rules_body_name(msg.envelope->body_case));
    take_ready(wh, msg.envelope->ready);
    wh->starts++;
    return 0;
}

void wh_start(struct wh *wh)
{
    if (wh_try_start(wh) < 0)
        wh_die("%s did not start: %s", wh->config.program, wh->failure);
}

/* ---- life ---- */

const Bulkhead__Envelope *wh_expect(struct wh *wh, Bulkhead__Envelope__BodyCase body)
{
    struct message msg = { 0 };

    if (wh_try_receive(wh, &msg) < 0)
        wh_die("%s is gone; %s was due (%s)", wh->config.program, rules_body_name(body),
               wh->failure);
    if (msg.envelope->body_case != body)
        wh_die("%s came where %s was due", rules_body_name(msg.envelope->body_case),
               rules_body_name(body));
    return msg.envelope;
}

void wh_send_activate(struct wh *wh, uint64_t features, bool resume)
{
    Bulkhead__QueueState states[WH_MAX_QUEUES], *list[WH_MAX_QUEUES];
    Bulkhead__Activate m = BULKHEAD__ACTIVATE__INIT;
    ENVELOPE(e, ACTIVATE, activate, &m);

    if (!resume)
        wh_fresh_rings(wh);
    for (unsigned q = 0; q < wh->config.n_queues; q++) {
        struct wh_queue *queue = &wh->queues[q];

        queue->event_idx = features & 1ull << VIRTIO_RING_F_EVENT_IDX;
        bulkhead__queue_state__init(&states[q]);
        states[q].index = q;
        states[q].size = queue->size;
        states[q].desc = queue->desc;
        states[q].avail = queue->avail;
        states[q].used = queue->used;
        list[q] = &states[q];
    }
    m.features = features;
    m.resume = resume;
    m.activation = wh->activation;
    m.n_queues = wh->config.n_queues;
    m.queues = list;
    wh_send(wh, &e);
}

void wh_activate(struct wh *wh, uint64_t features, bool resume)
{
    wh_send_activate(wh, features, resume);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_ACTIVATED);
}

void wh_send_reset(struct wh *wh)
{
    Bulkhead__Reset m = BULKHEAD__RESET__INIT;
    ENVELOPE(e, RESET, reset, &m);

    wh_send(wh, &e);
}

void wh_reset(struct wh *wh)
{
    wh_send_reset(wh);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
}

void wh_quiesce(struct wh *wh)
{
    Bulkhead__Quiesce m = BULKHEAD__QUIESCE__INIT;
    ENVELOPE(e, QUIESCE, quiesce, &m);

    wh_send(wh, &e);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_QUIESCED);
}

void wh_unquiesce(struct wh *wh)
{
    Bulkhead__Unquiesce m = BULKHEAD__UNQUIESCE__INIT;
    ENVELOPE(e, UNQUIESCE, unquiesce, &m);

    wh_send(wh, &e);
}

int wh_stop(struct wh *wh)
{
    Bulkhead__Stop m = BULKHEAD__STOP__INIT;
    ENVELOPE(e, STOP, stop, &m);

    wh_send(wh, &e);
    return wh_wait_exit(wh);
}

void wh_restart(struct wh *wh, uint64_t features)
{
    if (wh->pid)
        wh_kill(wh);
    wh_start(wh);
    wh_activate(wh, features, true);
}

void wh_start_beside(struct wh *wh, struct wh *ret_old)
{
    *ret_old = (struct wh){ .config = wh->config,
                            .channel = wh->channel,
                            .state = wh->state,
                            .pid = wh->pid,
                            .pidfd = wh->pidfd,
                            .far_fd = -1,
                            .ring = { .fd = -1 },
                            .old_ring = { .fd = -1 } };
    wh->channel = NULL;
    wh->pid = 0;
    wh->pidfd = -1;
    fd_closep(&wh->ring.fd); /* it will be drained before the new one is activated */
    wh_start(wh);
}

uint64_t wh_latencies(const struct wh *wh)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS; i++)
        n += wh->stats->latency_ns[i];
    return n;
}

void wh_drop_control(struct wh *wh)
{
    channel_freep(&wh->channel);
}

int wh_try_tap(const char *name, bool multi_queue)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), size = 12;

    if (multi_queue)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &req) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        return -1;
    return fd;
}
