/* SPDX-License-Identifier: Apache-2.0 */
/* broker_starts.c - requests as the spawner expects them, and its answers: see broker.h. */
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

_Noreturn void broker_die(const char *what)
{
    fprintf(stderr, "hostile broker: %s: %s\n", what, strerror(errno));
    _exit(9);
}

void broker_send_raw(struct broker *b, const void *bytes, size_t len, const int *fds,
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
        broker_die("asking the spawner");
}

void broker_send_request(struct broker *b, const struct spawner_request *request)
{
    broker_send_raw(b, request, sizeof *request, NULL, 0);
}

/* ---- before the seal ---- */

void broker_tell_slot(struct broker *b, uint32_t slot, uint32_t role, const char *name)
{
    struct spawner_request r = { .kind = SPAWNER_SLOT, .slot = slot };

    r.setup.role = role;
    r.setup.pids_max = 64;
    r.setup.ring = role == BULKHEAD__ROLE__ROLE_BLK ? RING_DISK : RING_NONE;
    snprintf(r.setup.name, sizeof r.setup.name, "%s", name);
    broker_send_request(b, &r);
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
        broker_die(path);
    fds[1] = b->base_fd;
    fds[2] = b->dir_fd;
    snprintf(vm.path, sizeof vm.path, "%s", strrchr(b->dir, '/') + 1);
    broker_send_raw(b, &vm, sizeof vm, fds, 3);
    close(fds[0]);
    if (seal)
        broker_send_request(b, &end);
}

/* ---- starts ---- */

void broker_prepare(struct broker *b, struct start *start, uint32_t slot)
{
    int type = slot >= SLOT_PASST ? SOCK_STREAM : SOCK_SEQPACKET;
    int pair[2], log[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0 ||
        pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
        broker_die("a start");
    *start = (struct start){
        .request = { .kind = SPAWNER_START, .id = b->next_id++, .slot = slot, .uid_slot = slot },
        .fds = { log[0], pair[1], log[1] },
        .n_fds = 3
    };
    b->control = pair[0];
    b->log = log[0];
}

static void note_end(struct broker *b, const struct spawner_report *report)
{
    b->ended = report->id;
    b->status = report->wait_status;
}

enum broker_verdict broker_answer(struct broker *b, uint32_t id)
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

/* All but what another request needs: the broker makes no duplicates. */
void broker_let_go(const struct broker *b, int fd)
{
    const int kept[] = { b->program_fd, b->root_dir, b->null, b->slow_path, b->lingers, b->log };

    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (fd == kept[i])
            return;
    close(fd);
}

enum broker_verdict broker_start(struct broker *b, struct start *start)
{
    broker_send_raw(b, &start->request, sizeof start->request, start->fds, start->n_fds);
    for (unsigned i = 0; i < start->n_fds; i++)
        broker_let_go(b, start->fds[i]);
    return broker_answer(b, start->request.id);
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
        broker_die("a child says nothing");
    return recvmsg(b->control, &msg, MSG_PEEK | MSG_CMSG_CLOEXEC) == 1;
}

void broker_kill_and_wait(struct broker *b, uint32_t id)
{
    struct spawner_request r = { .kind = SPAWNER_KILL, .id = id };
    struct pollfd p = { .fd = b->spawner.fd, .events = POLLIN };

    broker_send_request(b, &r);
    while (b->ended != id) {
        struct spawner_report report;
        int fds[SPAWNER_REPORT_FDS] = { -1, -1 };

        if (poll(&p, 1, BROKER_PATIENCE_MS) != 1 || spawner_receive(&b->spawner, &report, fds) != 0)
            broker_die("a child does not end");
        if (report.kind == SPAWNER_EXITED)
            note_end(b, &report);
        fd_closep(&fds[SPAWNER_FD_PID]);
        fd_closep(&fds[SPAWNER_FD_STAT]);
    }
}

/* All that was sent before has been looked at, and the spawner is well. */
void broker_settle(struct broker *b)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    start.request.uid_slot = UID_SPARE;
    if (broker_start(b, &start) != BROKER_LET)
        broker_die("the spawner is not well");
}
