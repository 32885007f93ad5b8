/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - processes that the starter forks, and watches until they end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "base/loop.h"

enum { PROCESS_MAX_FDS = 48 };

struct process_order {
    const char *program; /* path */
    char *const *argv;
    char *const *envp;
    const int *fds; /* fds[i] becomes descriptor i; all others are closed */
    unsigned n_fds;
    int procs_fd; /* cgroup.procs of the group that it moves to; -1: it stays */
    bool
        powerless; /* no capability, no new privileges but with real_uid; and with root's service: */
    uint32_t uid, gid, group; /* group: one more; 0: none */
    /* Another one, which makes it not dumpable from its first instruction on. It drops that by itself, and what it could
     * gain by an exec. 0: none. */
    uint32_t real_uid;
};

/* A session of its own, which is there on return, nothing of the caller's. It may fail to execute the program, which it says on its descriptor 2
 * and ends with 127. The pid, or a negative errno with an origin. */
pid_t process_fork(const struct process_order *order) must_check;

struct process {
    pid_t pid; /* 0: none */
    int pidfd;
    bool is_child;
    struct loop_event *event;
    void (*on_end)(void *arg, int status); /* of waitpid(); 0 of who is no child */
    void *arg;
};

/* Calls on_end once, after *process is empty again. 0, or a negative errno with an origin: a child then was killed. */
int process_watch(struct process *process, struct loop *loop, pid_t pid, bool is_child,
                  void (*on_end)(void *arg, int status), void *arg) must_check;
void process_kill(const struct process *process); /* if there is one */
/* It goes on, and nobody watches. */
void process_forget(struct process *process);
