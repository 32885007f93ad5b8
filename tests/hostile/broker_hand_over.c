/* SPDX-License-Identifier: Apache-2.0 */
/* broker_hand_over.c - has the spawner start a program that is none of Bulkhead's: see broker.h. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "broker.h"
#include "sandbox/ids.h"
#include "sandbox/spawn.h"
#include <cmocka.h>

uint32_t broker_puppet_action;

static void pull(int control, int folder)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } rights = { 0 };
    struct iovec iov = { &broker_puppet_action, sizeof broker_puppet_action };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights
    };

    rights.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof folder),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(&rights.header), &folder, sizeof folder);

    if (sendmsg(control, &msg, MSG_NOSIGNAL) < 0)
        _exit(8);
}

enum broker_verdict broker_hand_over(struct broker *b)
{
    struct start start;
    char word = 0;

    broker_prepare(b, &start, SLOT_RNG);
    start.fds[start.n_fds++] = b->program_fd;
    if (broker_start(b, &start) != BROKER_LET)
        return BROKER_REFUSED;
    pull(b->control, b->base_fd);
    if (!broker_await_word(b)) {
        broker_kill_and_wait(b, start.request.id);
        return BROKER_NOTHING;
    }
    b->word = read(b->control, &word, 1) == 1 ? word : 0;
    return BROKER_LET;
}

/* The same program in the same namespaces, without what the start of such a program puts on. */
int broker_hand_over_bare(int program, const char *base, bool no_userns)
{
    static char name[] = "bulkhead-dev-rng";
    char *argv[] = { name, NULL };
    int pair[2], null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct sandbox_spawn spawn = { .program_fd = program, .argv = argv, .cgroup_fd = -1 };
    int pidfd, status = 0, folder = open(base, O_PATH | O_CLOEXEC);
    unsigned missing;
    char word = 0;
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int fds[] = { null_fd, null_fd, STDERR_FILENO, pair[1] };
    spawn.fds = fds;
    spawn.n_fds = 4;
    spawn.uid = spawn.gid = geteuid() == 0 ? sandbox_uid(getpid(), 9) : 0;
    spawn.no_userns = no_userns;
    assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), 0);
    close(pair[1]);
    pull(pair[0], folder);
    close(folder);
    if (read(pair[0], &word, 1) != 1)
        word = 0;
    close(pair[0]);
    close(pidfd);
    close(null_fd);
    close(program);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)remove(PUPPET_PATH);
    /* A program that was executed says nothing, but ends well. */
    return word != 0 ? word : status == 0 ? 'l' : 0;
}
