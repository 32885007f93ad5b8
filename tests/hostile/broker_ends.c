/* SPDX-License-Identifier: Apache-2.0 */
/* broker_ends.c - see broker_ends.h. */
#include "broker_ends.h"
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include "spawner/keep.h"

/* Somebody has a copy of its end of the spawner's socket, when it dies: the spawner itself, or a worker. */
enum broker_verdict broker_die_unseen(struct broker *b)
{
    const struct spawner_request r = { .kind = SPAWNER_DEPOSIT, .id = KEEP_DEVICES };

    broker_send_raw(b, &r, sizeof r, &b->spawner.fd, 1);
    broker_settle(b);
    _exit(0);
}

enum broker_verdict broker_die_unseen_by_a_worker(struct broker *b)
{
    struct start start;

    broker_prepare(b, &start, SLOT_RNG);
    close(start.fds[1]);
    start.fds[1] = b->spawner.fd;
    broker_send_raw(b, &start.request, sizeof start.request, start.fds, start.n_fds);
    _exit(0); /* the answer would be the worker's to read */
}

static enum broker_verdict stay(void)
{
    struct pollfd never = { .fd = -1 };

    while (poll(&never, 1, -1) <= 0)
        ;
    return BROKER_NOTHING;
}

/* It says that it leaves, or only hangs up, and stays: with the VM's uid, disks and locks. */
enum broker_verdict broker_leave_and_stay(struct broker *b)
{
    const struct spawner_request leave = { .kind = SPAWNER_LEAVE };

    broker_send_raw(b, &leave, sizeof leave, NULL, 0);
    close(b->spawner.fd);
    return stay();
}

enum broker_verdict broker_hang_up_and_stay(struct broker *b)
{
    close(b->spawner.fd);
    return stay();
}

/* Its core has ended, and it goes on as if that were nothing. */
enum broker_verdict broker_stay_beyond_the_core(struct broker *b)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    if (broker_start_honest(b, SLOT_CORE) == BROKER_LET)
        broker_kill_and_wait(b, b->next_id - 1);
    return stay();
}
