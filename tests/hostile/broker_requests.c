/* SPDX-License-Identifier: Apache-2.0 */
/* broker_requests.c - what a broker that was taken over asks the spawner for. Each changes one thing
 * of a request that is granted otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "broker.h"
#include "client.pb-c.h"
#include "sandbox/ring.h"

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "hostile broker: %s: %s\n", what, strerror(errno));
    _exit(9);
}

static void send_raw(struct broker *b, const void *bytes, size_t len, const int *fds,
                     unsigned n_fds)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(256 * sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n_fds > 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }
    if (sendmsg(b->spawner.fd, &msg, MSG_NOSIGNAL) != (ssize_t)len)
        die("asking the spawner");
}

void broker_send(struct broker *b, const struct spawner_request *request)
{
    send_raw(b, request, sizeof *request, NULL, 0);
}

/* ---- before the seal ---- */

void broker_tell_slot(struct broker *b, uint32_t slot, uint32_t role, const char *name)
{
    struct spawner_request r = { .kind = SPAWNER_SLOT, .slot = slot };

    r.setup.role = role;
    r.setup.pids_max = 64;
    r.setup.ring = role == BULKHEAD__ROLE__ROLE_BLK ? RING_DISK : RING_NONE;
    snprintf(r.setup.name, sizeof r.setup.name, "%s", name);
    broker_send(b, &r);
}

void broker_tell(struct broker *b, bool seal)
{
    struct spawner_request vm = { .kind = SPAWNER_VM }, end = { .kind = SPAWNER_SEAL };
    char path[80];
    int fds[3];

    broker_tell_slot(b, SLOT_CORE, BULKHEAD__ROLE__ROLE_CORE, "core");
    broker_tell_slot(b, SLOT_LOADER, BULKHEAD__ROLE__ROLE_LOADER, "loader");
    broker_tell_slot(b, SLOT_RNG, BULKHEAD__ROLE__ROLE_RNG, "rng");
    broker_tell_slot(b, SLOT_DISK, BULKHEAD__ROLE__ROLE_BLK, "disk0");
    broker_tell_slot(b, SLOT_OTHER_DISK, BULKHEAD__ROLE__ROLE_BLK, "disk1");
    broker_tell_slot(b, SLOT_PASST, BULKHEAD__ROLE__ROLE_PASST, "net0-passt");
    snprintf(path, sizeof path, "%s/lock", b->dir);
    fds[0] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fds[0] < 0)
        die(path);
    fds[1] = b->base_fd;
    fds[2] = b->dir_fd;
    snprintf(vm.path, sizeof vm.path, "%s", strrchr(b->dir, '/') + 1);
    send_raw(b, &vm, sizeof vm, fds, 3);
    close(fds[0]);
    if (seal)
        broker_send(b, &end);
}

/* ---- starts ---- */

void broker_prepare(struct broker *b, struct start *start, uint32_t slot)
{
    int type = slot >= SLOT_PASST ? SOCK_STREAM : SOCK_SEQPACKET;
    int pair[2], log[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0 ||
        pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
        die("a start");
    *start = (struct start){
        .request = { .kind = SPAWNER_START, .id = b->next_id++, .slot = slot, .uid_slot = slot },
        .fds = { log[0], pair[1], log[1] },
        .n_fds = 3
    };
    b->control = pair[0];
    b->log = dup(log[0]);
}

static void note_end(struct broker *b, const struct spawner_report *report)
{
    b->ended = report->id;
    b->status = report->wait_status;
}

static enum broker_verdict answer(struct broker *b, uint32_t id)
{
    struct pollfd p = { .fd = b->spawner.fd, .events = POLLIN };
    struct spawner_report report;

    for (;;) {
        int fds[SPAWNER_REPORT_FDS] = { -1, -1 };

        if (poll(&p, 1, BROKER_PATIENCE_MS) != 1 || spawner_receive(&b->spawner, &report, fds) != 0)
            return BROKER_NO_ANSWER;
        if (report.kind == SPAWNER_EXITED)
            note_end(b, &report);
        if (report.kind == SPAWNER_STARTED && report.id == id)
            break;
        b->other = report.id;
        fd_closep(&fds[SPAWNER_FD_PID]);
        fd_closep(&fds[SPAWNER_FD_STAT]);
    }
    b->pid = report.pid;
    snprintf(b->text, sizeof b->text, "%s", report.text);
    return report.error != 0 ? BROKER_REFUSED : BROKER_LET;
}

enum broker_verdict broker_start(struct broker *b, struct start *start)
{
    send_raw(b, &start->request, sizeof start->request, start->fds, start->n_fds);
    for (unsigned i = 0; i < start->n_fds; i++)
        if (start->fds[i] != b->program_fd)
            close(start->fds[i]);
    return answer(b, start->request.id);
}

enum broker_verdict broker_start_honest(struct broker *b, uint32_t slot)
{
    struct start start;

    broker_prepare(b, &start, slot);
    return broker_start(b, &start);
}

bool broker_await_word(struct broker *b)
{
    /* The filter lets the broker poll one descriptor. */
    struct pollfd p = { .fd = b->control, .events = POLLIN };
    char byte;
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (poll(&p, 1, BROKER_PATIENCE_MS) != 1)
        die("a child says nothing");
    return recvmsg(b->control, &msg, MSG_PEEK | MSG_CMSG_CLOEXEC) == 1;
}

void broker_kill(struct broker *b, uint32_t id)
{
    struct spawner_request r = { .kind = SPAWNER_KILL, .id = id };
    struct pollfd p = { .fd = b->spawner.fd, .events = POLLIN };

    broker_send(b, &r);
    while (b->ended != id) {
        struct spawner_report report;
        int fds[SPAWNER_REPORT_FDS] = { -1, -1 };

        if (poll(&p, 1, BROKER_PATIENCE_MS) != 1 || spawner_receive(&b->spawner, &report, fds) != 0)
            die("a child does not end");
        if (report.kind == SPAWNER_EXITED)
            note_end(b, &report);
        fd_closep(&fds[SPAWNER_FD_PID]);
        fd_closep(&fds[SPAWNER_FD_STAT]);
    }
}

/* All that was sent before has been looked at, and the spawner is well. */
static void settle(struct broker *b)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    start.request.uid_slot = UID_SPARE;
    if (broker_start(b, &start) != BROKER_LET)
        die("the spawner is not well");
}

/* ---- the actions ---- */

static enum broker_verdict slot(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    start.request.slot = (uint32_t)number;
    return broker_start(b, &start);
}

static enum broker_verdict uid_slot(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    start.request.uid_slot = (uint32_t)number;
    return broker_start(b, &start);
}

/* uid_base + n == 0 */
static enum broker_verdict uid_zero(struct broker *b, long unused)
{
    (void)unused;
    return uid_slot(b, -(long)(0x70000000u | ((uint32_t)getpid() << 6)));
}

static enum broker_verdict passt_uid(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_PASST);
    start.request.uid_slot = (uint32_t)number;
    return broker_start(b, &start);
}

static enum broker_verdict uid_of_the_living(struct broker *b, long unused)
{
    (void)unused;
    if (broker_start_honest(b, SLOT_RNG) != BROKER_LET)
        die("an honest start");
    return broker_start_honest(b, SLOT_RNG);
}

static enum broker_verdict second(struct broker *b, long number)
{
    struct start start;

    if (broker_start_honest(b, (uint32_t)number) != BROKER_LET)
        die("an honest start");
    broker_prepare(b, &start, (uint32_t)number);
    start.request.uid_slot = UID_SPARE;
    return broker_start(b, &start);
}

static enum broker_verdict id(struct broker *b, long number)
{
    struct start start;

    settle(b);
    broker_prepare(b, &start, SLOT_RNG);
    start.request.id = (uint32_t)number;
    return broker_start(b, &start);
}

static enum broker_verdict id_of_the_dead(struct broker *b, long unused)
{
    uint32_t dead = b->next_id;
    struct start start;

    (void)unused;
    if (broker_start_honest(b, SLOT_RNG) != BROKER_LET)
        die("an honest start");
    broker_kill(b, dead);
    broker_prepare(b, &start, SLOT_RNG);
    start.request.id = dead;
    return broker_start(b, &start);
}

static enum broker_verdict program_for(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, (uint32_t)number);
    start.fds[start.n_fds++] = b->program_fd;
    return broker_start(b, &start);
}

static enum broker_verdict program_is(struct broker *b, long which)
{
    struct start start;
    int fd = -1;

    if (which == 0)
        fd = memfd_create("program", MFD_CLOEXEC);
    else
        fd = open(which == 1 ? "/" : "/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("a program");
    broker_prepare(b, &start, SLOT_RNG);
    start.fds[start.n_fds++] = fd;
    return broker_start(b, &start);
}

static enum broker_verdict descriptors(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    while (start.n_fds > (unsigned)number)
        close(start.fds[--start.n_fds]);
    while (start.n_fds < (unsigned)number) {
        int fd = start.fds[start.n_fds++] = dup(b->program_fd);

        if (fd < 0)
            die("a descriptor");
    }
    send_raw(b, &start.request, sizeof start.request, start.fds, start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        close(start.fds[i]);
    /* The kernel tells the spawner that there were more than it takes: no answer, but none started. */
    if (number > 4) {
        settle(b);
        return BROKER_REFUSED;
    }
    return answer(b, start.request.id);
}

enum { AT_LOG_READER, AT_CONTROL, AT_LOG };

static enum broker_verdict descriptor_is_file(struct broker *b, long which)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    close(start.fds[which]);
    start.fds[which] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return broker_start(b, &start);
}

static enum broker_verdict control_is_a_stream(struct broker *b, long unused)
{
    struct start start;
    int pair[2];

    (void)unused;
    broker_prepare(b, &start, SLOT_RNG);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("a stream");
    close(start.fds[AT_CONTROL]);
    start.fds[AT_CONTROL] = pair[0];
    return broker_start(b, &start);
}

static enum broker_verdict ring_of(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_DISK);
    start.request.ring_of = (uint32_t)number;
    return broker_start(b, &start);
}

static enum broker_verdict ring_of_itself(struct broker *b, long unused)
{
    (void)unused;
    return ring_of(b, b->next_id);
}

static enum broker_verdict ring_of_the_living(struct broker *b, long unused)
{
    uint32_t living = b->next_id;
    struct start start;

    (void)unused;
    if (broker_start_honest(b, SLOT_DISK) != BROKER_LET)
        die("an honest start");
    broker_prepare(b, &start, SLOT_DISK);
    start.request.uid_slot = UID_SPARE;
    start.request.ring_of = living;
    return broker_start(b, &start);
}

enum broker_verdict broker_start_with_ring_of_a_dead(struct broker *b, uint32_t slot)
{
    uint32_t dead = b->next_id;
    struct start start;

    if (broker_start_honest(b, SLOT_DISK) != BROKER_LET)
        die("an honest start");
    broker_kill(b, dead);
    broker_prepare(b, &start, slot);
    start.request.ring_of = dead;
    return broker_start(b, &start);
}

static enum broker_verdict ring_of_another(struct broker *b, long slot)
{
    return broker_start_with_ring_of_a_dead(b, (uint32_t)slot);
}

/* Each byte of it would be an honest start. */
static enum broker_verdict length(struct broker *b, long len)
{
    static uint8_t bytes[100000];
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    memcpy(bytes, &start.request, sizeof start.request);
    send_raw(b, bytes, len < 0 ? sizeof start.request + (size_t)-len : (size_t)len, start.fds,
             len == 0 ? 0 : start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        close(start.fds[i]);
    settle(b);
    return BROKER_REFUSED;
}

static enum broker_verdict kind(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    start.request.kind = (uint32_t)number;
    send_raw(b, &start.request, sizeof start.request, start.fds, start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        close(start.fds[i]);
    settle(b);
    return BROKER_REFUSED;
}

/* Another role for a slot that is known: what starts in it takes no stream, as passt would. */
static enum broker_verdict slot_changed(struct broker *b, long unused)
{
    (void)unused;
    broker_tell_slot(b, SLOT_RNG, BULKHEAD__ROLE__ROLE_PASST, "rng2");
    return control_is_a_stream(b, 0);
}

/* The test looks for what is in it, when the spawner is gone. */
static enum broker_verdict another_directory(struct broker *b, long unused)
{
    struct spawner_request vm = { .kind = SPAWNER_VM };
    const int fds[] = { b->victim_lock, b->base_fd, b->victim_fd };

    (void)unused;
    snprintf(vm.path, sizeof vm.path, "%s", strrchr(b->victim, '/') + 1);
    send_raw(b, &vm, sizeof vm, fds, 3);
    settle(b);
    return BROKER_REFUSED;
}

static enum broker_verdict kill_who_is_no_child(struct broker *b, long pid)
{
    struct spawner_request r = { .kind = SPAWNER_KILL, .id = (uint32_t)(pid ? pid : b->test) };

    broker_send(b, &r);
    r.id = (uint32_t)b->spawner.pid;
    broker_send(b, &r);
    settle(b);
    return BROKER_REFUSED; /* the test sees whether it is there */
}

/* Who reads no report and goes on asking stops the spawner from reading, no more: it still reaps a
 * child that ends. */
static enum broker_verdict flood_and_not_read(struct broker *b, long unused)
{
    struct spawner_request bad = { .kind = SPAWNER_START, .slot = SLOT_EMPTY };
    struct pollfd never = { .fd = -1 };
    struct stat st;
    char path[32];

    (void)unused;
    if (broker_start_honest(b, SLOT_RNG) != BROKER_LET)
        die("an honest start");
    snprintf(path, sizeof path, "/proc/%d", b->pid);
    /* Full for a while: the spawner is no longer reading. */
    for (unsigned tries = 0; tries < 50;) {
        struct iovec iov = { &bad, sizeof bad };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        bad.id = b->next_id++;
        if (sendmsg(b->spawner.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            tries++;
            poll(&never, 1, 2);
        }
    }
    close(b->control); /* so the worker leaves */
    for (unsigned ms = 0; stat(path, &st) == 0; ms += 5) {
        if (ms > BROKER_PATIENCE_MS)
            return BROKER_LET;
        poll(&never, 1, 5);
    }
    return BROKER_REFUSED;
}

/* An exec that is not through for a long time: who opens the program waits for its lease. Others are
 * started meanwhile. */
static enum broker_verdict exec_is_slow(struct broker *b, long unused)
{
    int program = open(b->slow, O_PATH | O_CLOEXEC);
    struct start slow;
    uint32_t id;

    (void)unused;
    broker_prepare(b, &slow, SLOT_RNG);
    slow.fds[slow.n_fds++] = program;
    id = slow.request.id;
    send_raw(b, &slow.request, sizeof slow.request, slow.fds, slow.n_fds);
    settle(b);
    if (b->other == id)
        die("the exec that was to be slow was not");
    close(b->lease); /* and the lease ends */
    /* Whatever it is: where a program must be static it is none. */
    return answer(b, id) != BROKER_NO_ANSWER ? BROKER_REFUSED : BROKER_NO_ANSWER;
}

#define ASK(what, function, value)                                                                 \
    {                                                                                              \
        .name = what, .run = function, .arg = value                                                \
    }

static const struct broker_action actions[] = {
    ASK("slot-empty", slot, SLOT_EMPTY),
    ASK("slot-other-empty", slot, 63),
    ASK("slot-out-of-range", slot, SPAWNER_MAX_SLOTS),
    ASK("slot-huge", slot, -1),
    ASK("uid-out-of-range", uid_slot, SPAWNER_MAX_SLOTS),
    ASK("uid-before-the-range", uid_slot, -1),
    ASK("uid-zero", uid_zero, 0),
    ASK("uid-of-passt", uid_slot, SLOT_PASST),
    ASK("passt-with-a-device's-uid", passt_uid, SLOT_RNG),
    ASK("passt-with-another-uid", passt_uid, SLOT_PASST + 1),
    ASK("uid-of-the-living", uid_of_the_living, 0),
    ASK("second-core", second, SLOT_CORE),
    ASK("second-loader", second, SLOT_LOADER),
    ASK("id-zero", id, 0),
    ASK("id-of-the-living", id, 1),
    ASK("id-of-the-dead", id_of_the_dead, 0),
    ASK("program-for-the-core", program_for, SLOT_CORE),
    ASK("program-for-the-loader", program_for, SLOT_LOADER),
    ASK("program-for-passt", program_for, SLOT_PASST),
    ASK("program-is-a-memfd", program_is, 0),
    ASK("program-is-a-directory", program_is, 1),
    ASK("program-is-a-device", program_is, 2),
    ASK("descriptors-none", descriptors, 0),
    ASK("descriptors-1", descriptors, 1),
    ASK("descriptors-2", descriptors, 2),
    ASK("descriptors-5", descriptors, 5),
    ASK("descriptors-250", descriptors, 250),
    ASK("log-reader-is-a-file", descriptor_is_file, AT_LOG_READER),
    ASK("control-is-a-file", descriptor_is_file, AT_CONTROL),
    ASK("log-is-a-file", descriptor_is_file, AT_LOG),
    ASK("control-is-a-stream", control_is_a_stream, 0),
    ASK("ring-of-nobody", ring_of, 4711),
    ASK("ring-of-itself", ring_of_itself, 0),
    ASK("ring-of-the-living", ring_of_the_living, 0),
    ASK("ring-of-another-slot", ring_of_another, SLOT_OTHER_DISK),
    ASK("ring-for-a-slot-without", ring_of_another, SLOT_RNG),
    ASK("length-0", length, 0),
    ASK("length-1", length, 1),
    ASK("length-less-one", length, sizeof(struct spawner_request) - 1),
    ASK("length-and-one", length, -1),
    ASK("length-huge", length, 100000),
    ASK("kind-0", kind, 0),
    ASK("kind-of-a-report", kind, SPAWNER_STARTED),
    ASK("kind-huge", kind, -1),
    ASK("slot-changed", slot_changed, 0),
    ASK("another-directory", another_directory, 0),
    ASK("kill-the-test", kill_who_is_no_child, 0),
    ASK("kill-init", kill_who_is_no_child, 1),
    ASK("flood-and-not-read", flood_and_not_read, 0),
    ASK("exec-is-slow", exec_is_slow, 0),
};

const struct broker_table broker_requests = { actions, ARRAY_SIZE(actions) };
