/* SPDX-License-Identifier: Apache-2.0 */
/* broker.h - a broker that was taken over, for tests: in the real one's sandbox, with the real
 * spawner at the other end of its socket, it asks for what no broker asks for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "client.pb-c.h"
#include "spawner/spawner.h"

enum { BROKER_PATIENCE_MS = 60000 };

/* Slots that the spawner is told of before the seal. */
enum {
    SLOT_CORE = 0,
    SLOT_LOADER = 1,
    SLOT_RNG = 2,
    SLOT_DISK = 3,
    SLOT_OTHER_DISK = 4,
    SLOT_PASST = 56,
    SLOT_FREE = 30,  /* of a device, and added by none of these but one */
    SLOT_EMPTY = 40, /* of nobody: devices end before it */
    UID_SPARE = 33,
};

enum broker_verdict { BROKER_NOTHING, BROKER_REFUSED, BROKER_LET, BROKER_NO_ANSWER };

struct broker_action;

struct broker {
    const struct broker_action *action; /* that runs */
    struct spawner spawner;
    uint32_t next_id;
    uint32_t uid_base; /* of the VM's range; 0: not root */
    int program_fd;    /* of this test, to hand over */
    char dir[64];      /* the VM's */
    char victim[64];   /* a directory that is none of the VM's */
    int victim_fd;     /* of it */
    int victim_lock;   /* a file in it */
    int base_fd;       /* of the directory that both are in */
    int dir_fd;
    int root_dir, null; /* opened before the sandbox */
    int slow_path;      /* O_PATH, of `slow` */
    int lingers, peer;  /* a TCP socket whose last close waits, until its peer is closed */
    char slow[64];      /* a program, open nowhere but for a lease */
    int lease;          /* on it */
    int group_fd;       /* the VM's control group; -1: it has none */
    pid_t test;         /* a process that is no child */
    char text[160];     /* of the last refusal */
    bool no_landlock;   /* this kernel has none, which start and audit say */
    int pid;            /* of the last start */
    int control, log;   /* of the last start: this end */
    int word;           /* of a program that was handed over; 0: it ended */
    int status;         /* of who ended last: as waitid() says, SIGSYS or so */
    uint32_t ended;     /* its id */
    uint32_t other;     /* of the last report that was not waited for */
};

/* One start, honest until the action changes it. */
struct start {
    struct spawner_request request;
    int fds[256];
    unsigned n_fds;
};

struct broker_action {
    const char *name;
    enum broker_verdict (*run)(struct broker *b, long arg);
    long arg;
    int reached; /* of a system call: an errno that comes after every check of rights */
    uint64_t args[6];
};

/* Of a request. */
#define ASK(what, function, value)                                                                 \
    {                                                                                              \
        .name = what, .run = function, .arg = value                                                \
    }

struct broker_table {
    const struct broker_action *actions;
    unsigned n;
};

/* Requests to the spawner; those that are about slots after the seal; system calls of the broker's own. */
extern const struct broker_table broker_requests, broker_slots, broker_calls;

/* ---- broker_starts.c ---- */
_Noreturn void broker_die(const char *what); /* the test itself can't go on */
void broker_send_raw(struct broker *b, const void *bytes, size_t len, const int *fds,
                     unsigned n_fds);
void broker_send_request(struct broker *b, const struct spawner_request *request);
/* Tells the spawner of a slot. */
void broker_tell_slot(struct broker *b, uint32_t slot, uint32_t role, const char *name);
/* To the start of that number. */
enum broker_verdict broker_answer(struct broker *b, uint32_t id);
/* Closes a descriptor of a start, but for what other requests need: the broker makes no duplicates. */
void broker_let_go(const struct broker *b, int fd);
void broker_kill_and_wait(struct broker *b, uint32_t id);
/* All that was sent before has been looked at, and the spawner is well. */
void broker_settle(struct broker *b);
/* Slots, directory and seal, as main.c has them told. */
void broker_tell(struct broker *b, bool seal);
void broker_prepare(struct broker *b, struct start *start, uint32_t slot);
/* Sends it as it is and waits for the answer. */
enum broker_verdict broker_start(struct broker *b, struct start *start);
/* An ordinary start of that slot: BROKER_LET, if all is well. */
enum broker_verdict broker_start_honest(struct broker *b, uint32_t slot);
/* A disk's worker starts and dies; then a start of `slot` asks for its io_uring. */
enum broker_verdict broker_start_with_ring_of_a_dead(struct broker *b, uint32_t slot);
/* Until a child ended, or the control socket of the last start has something to be read. False: it
 * ended. */
bool broker_await_word(struct broker *b);

/* ---- broker_slots.c ---- */
/* A device more, after the seal, and a start of it. */
enum broker_verdict broker_add(struct broker *b, uint32_t slot, Bulkhead__Role role,
                               const char *name);
/* Devices come, each by another name, and go, or their start fails: BROKER_LET, if their control groups stay. */
enum broker_verdict broker_leave_groups(struct broker *b);
/* Its slot is empty again, once all that was in it is dead. */
void broker_free(struct broker *b, uint32_t slot);

/* ---- broker_hand_over.c ---- */
extern uint32_t broker_puppet_action; /* what that program is to do */
/* BROKER_NOTHING: it was started, and ended by it. */
enum broker_verdict broker_hand_over(struct broker *b);
/* The same program in the same namespaces, without what the start of such a program puts on; closes it. Its word. */
int broker_hand_over_bare(int program, const char *base, bool no_userns);

/* ---- puppet.c: the program that is handed over ---- */
/* What some of its actions make. */
#define PUPPET_PATH "/tmp/bulkhead-puppet"
/* In the folder that it gets: the program once more. */
#define PUPPET_COPY "puppet"
unsigned puppet_n_actions(void);
const char *puppet_name(unsigned index);
/* Does what it is told on descriptor 3. */
int puppet_main(void);
