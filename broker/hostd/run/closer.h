/* SPDX-License-Identifier: Apache-2.0 */
/* closer.h - closes what somebody else has a hand in. A socket in whose queue a tenant has put a descriptor of his may have
 * the last reference to that, and its close may wait: for a file's server, or for a connection that lingers. So threads do
 * it. What is one's, a tenant's or a stranger's, waits behind the rest of his alone: one thread at most is at it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/loop.h"
#include "sandbox/seccomp.h"

enum {
    CLOSER_THREADS =
        32,           /* so many may have one of theirs that waits, before others wait for them */
    CLOSER_MANY = 64, /* so many of one's wait: closer_has_many() */
};

struct closer;

struct closer_config {
    struct loop *loop;
    /* What was closed with that ticket. */
    void (*on_closed)(void *arg, uint64_t ticket);
    /* Half of all descriptors that there may be wait to be closed. The end of the process closes them. */
    void (*on_full)(void *arg);
    void *arg;
};

/* Whose something is: a tenant's, or that of who speaks for none. */
uint64_t closer_of_tenant(const char *tenant);
uint64_t closer_of_stranger(uint32_t uid);

int closer_new(struct closer **ret_closer, const struct closer_config *config) must_check;
/* Makes the threads, each in that filter: in the process's sandbox, before the caller's own filter. */
int closer_start(struct closer *closer, const struct sandbox_filter *filter) must_check;
/* Takes over a socket that nobody is to hear of any more. True: nothing was in it, and it is closed; else a thread
 * closes it, and on_closed says when, unless the ticket is 0. */
bool closer_close(struct closer *closer, uint64_t whose, uint64_t ticket, int fd);
/* Lets go of a descriptor that somebody else has by now, or may have. */
void closer_drop(struct closer *closer, uint64_t whose, int fd);
/* So much of his waits that he is to be given no more. */
bool closer_has_many(const struct closer *closer, uint64_t whose);
/* The threads are left to themselves: the process ends. */
void closer_free(struct closer *closer);
