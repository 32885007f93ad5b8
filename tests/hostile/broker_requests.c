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
#include "spawner/keep.h"

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
    return uid_slot(b, b->uid_base ? -(long)b->uid_base : -1);
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
        broker_die("an honest start");
    return broker_start_honest(b, SLOT_RNG);
}

static enum broker_verdict second(struct broker *b, long number)
{
    struct start start;

    if (broker_start_honest(b, (uint32_t)number) != BROKER_LET)
        broker_die("an honest start");
    broker_prepare(b, &start, (uint32_t)number);
    start.request.uid_slot = UID_SPARE;
    return broker_start(b, &start);
}

static enum broker_verdict id(struct broker *b, long number)
{
    struct start start;

    broker_settle(b);
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
        broker_die("an honest start");
    broker_kill_and_wait(b, dead);
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
        fd = which == 1 ? b->root_dir : b->null;
    if (fd < 0)
        broker_die("a program");
    broker_prepare(b, &start, SLOT_RNG);
    start.fds[start.n_fds++] = fd;
    return broker_start(b, &start);
}

static enum broker_verdict descriptors(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    while (start.n_fds > (unsigned)number)
        broker_let_go(b, start.fds[--start.n_fds]);
    while (start.n_fds < (unsigned)number)
        start.fds[start.n_fds++] = b->program_fd;
    broker_send_raw(b, &start.request, sizeof start.request, start.fds, start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        broker_let_go(b, start.fds[i]);
    return broker_answer(b, start.request.id);
}

enum { AT_LOG_READER, AT_CONTROL, AT_LOG };

static enum broker_verdict descriptor_is_file(struct broker *b, long which)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    broker_let_go(b, start.fds[which]);
    start.fds[which] = b->null;
    return broker_start(b, &start);
}

static enum broker_verdict control_is_a_stream(struct broker *b, long unused)
{
    struct start start;
    int pair[2];

    (void)unused;
    broker_prepare(b, &start, SLOT_RNG);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        broker_die("a stream");
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
        broker_die("an honest start");
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
        broker_die("an honest start");
    broker_kill_and_wait(b, dead);
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
    broker_send_raw(b, bytes, len < 0 ? sizeof start.request + (size_t)-len : (size_t)len,
                    start.fds, len == 0 ? 0 : start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        broker_let_go(b, start.fds[i]);
    broker_settle(b);
    return BROKER_REFUSED;
}

static enum broker_verdict kind(struct broker *b, long number)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    start.request.kind = (uint32_t)number;
    broker_send_raw(b, &start.request, sizeof start.request, start.fds, start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        broker_let_go(b, start.fds[i]);
    broker_settle(b);
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
    broker_send_raw(b, &vm, sizeof vm, fds, 3);
    broker_settle(b);
    return BROKER_REFUSED;
}

static enum broker_verdict kill_who_is_no_child(struct broker *b, long pid)
{
    struct spawner_request r = { .kind = SPAWNER_KILL, .id = (uint32_t)(pid ? pid : b->test) };

    broker_send_request(b, &r);
    r.id = (uint32_t)b->spawner.pid;
    broker_send_request(b, &r);
    broker_settle(b);
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
        broker_die("an honest start");
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
    struct start slow;
    uint32_t id;

    (void)unused;
    broker_prepare(b, &slow, SLOT_RNG);
    slow.fds[slow.n_fds++] = b->slow_path;
    id = slow.request.id;
    broker_send_raw(b, &slow.request, sizeof slow.request, slow.fds, slow.n_fds);
    broker_settle(b);
    if (b->other == id)
        broker_die("the exec that was to be slow was not");
    close(b->lease); /* and the lease ends */
    /* Whatever it is: where a program must be static it is none. */
    return broker_answer(b, id) != BROKER_NO_ANSWER ? BROKER_REFUSED : BROKER_NO_ANSWER;
}

enum { LINGERS_BESIDE, LINGERS_AS_LOG, LINGERS_IN_QUEUE, LINGERS_AS_PROGRAM };

/* Whoever closes it last waits for an hour. The spawner starts others meanwhile. */
static enum broker_verdict lingering(struct broker *b, long how)
{
    struct spawner control = { .fd = -1 };
    sigset_t alarm;
    struct spawner_request nothing = { 0 };
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    control.fd = b->control;
    if (how == LINGERS_IN_QUEUE && spawner_send(&control, &nothing, &b->lingers, 1) < 0)
        broker_die("a descriptor in a queue");
    if (how == LINGERS_AS_LOG || how == LINGERS_IN_QUEUE)
        close(start.fds[AT_LOG]);
    if (how == LINGERS_AS_LOG)
        start.fds[AT_LOG] = b->lingers;
    else if (how == LINGERS_IN_QUEUE)
        start.fds[AT_LOG] = b->null;
    else
        start.fds[start.n_fds++] = b->lingers;
    if (how == LINGERS_BESIDE)
        start.fds[start.n_fds++] = b->null;
    broker_send_raw(b, &start.request, sizeof start.request, start.fds, start.n_fds);
    for (unsigned i = 0; i < start.n_fds; i++)
        broker_let_go(b, start.fds[i]);
    /* If the spawner was faster, this is the last: a timer's signal interrupts it. */
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
    close(b->lingers);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    broker_settle(b);
    close(b->peer);
    return how == LINGERS_AS_PROGRAM && b->other != start.request.id
               ? broker_answer(b, start.request.id)
               : BROKER_REFUSED;
}

static void deposit(struct broker *b, unsigned place, int fd)
{
    const struct spawner_request r = { .kind = SPAWNER_DEPOSIT, .id = place };

    broker_send_raw(b, &r, sizeof r, &fd, 1);
}

static void drop(struct broker *b, unsigned place, unsigned n)
{
    const struct spawner_request r = { .kind = SPAWNER_DROP, .id = place, .slot = n };

    broker_send_request(b, &r);
}

/* More than are closed at a time, each slow: whose last close gives memory back. */
static enum broker_verdict slow_drops(struct broker *b, long unused)
{
    enum { N = 24, BYTES = 32 << 20 };

    (void)unused;
    for (unsigned i = 0; i < N; i++) {
        int fd = memfd_create("slow", MFD_CLOEXEC);

        if (fd < 0 || fallocate(fd, 0, 0, BYTES) < 0)
            broker_die("memory");
        deposit(b, KEEP_DEVICES + i, fd);
        close(fd);
    }
    for (unsigned i = 0; i < N; i++)
        drop(b, KEEP_DEVICES + i, 1);
    broker_settle(b);
    return BROKER_REFUSED;
}

/* All that can be kept, again and again: nothing of it may be left. */
static enum broker_verdict drop_all(struct broker *b, long rounds)
{
    while (rounds-- > 0) {
        for (unsigned place = KEEP_FIXED; place < KEEP_PLACES; place++)
            deposit(b, place, b->null);
        drop(b, 0, KEEP_PLACES);
    }
    broker_settle(b);
    return BROKER_REFUSED;
}

/* Kept, and then not: the one who closes it waits. */
static enum broker_verdict lingering_place(struct broker *b, long replaced)
{
    sigset_t alarm;

    deposit(b, KEEP_DEVICES, b->lingers);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
    close(b->lingers);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    if (replaced)
        deposit(b, KEEP_DEVICES, b->null);
    else
        drop(b, KEEP_DEVICES, 1);
    broker_settle(b);
    close(b->peer);
    return BROKER_REFUSED;
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
    ASK("lingering-descriptor", lingering, LINGERS_BESIDE),
    ASK("lingering-log", lingering, LINGERS_AS_LOG),
    ASK("lingering-in-a-queue", lingering, LINGERS_IN_QUEUE),
    ASK("lingering-program", lingering, LINGERS_AS_PROGRAM),
    ASK("lingering-in-a-place", lingering_place, false),
    ASK("lingering-replaced", lingering_place, true),
    ASK("slow-drops", slow_drops, 0),
    ASK("drop-all", drop_all, 4),
};

const struct broker_table broker_requests = { actions, ARRAY_SIZE(actions) };
