/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.h - a worker that was taken over, for tests.
 *
 * Each device's own program is linked once more, with hostile.c between it and the skeleton
 * (ld --wrap): it starts as the real one does, with the same descriptors, in the same sandbox, and
 * serves its guest for a while. Then it tries one action, says how that went and, if it still
 * lives, tries the next. Which is next is kept in the stats page, behind what that page defines:
 * the page outlives the process, so a replacement goes on with the next action.
 *
 * Log lines (descriptor 2):
 *   hostile: try N KIND NAME               before
 *   hostile: N NAME denied: TEXT           an error of the kernel's; none of these: it was killed
 *   hostile: N NAME done                   a nuisance: allowed, the others must not notice
 *   hostile: N NAME SUCCEEDED              a hole
 *   hostile: N NAME BROKEN: TEXT           the control failed
 *   hostile: all N tried                   honest from here on
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "control.pb-c.h"

enum {
    HOSTILE_MAGIC = 0x484f5354,
    HOSTILE_BOX_OFFSET = 3072,
    HOSTILE_NAME_BYTES = 40,
    HOSTILE_MAX = 512,      /* actions */
    HOSTILE_NOT_OURS = 255, /* in place of a kind: nothing for this role */
};

enum hostile_kind {
    HOSTILE_SYSCALL,  /* the filter kills, or the kernel says no */
    HOSTILE_RING,     /* an operation in the fenced io_uring: an error */
    HOSTILE_MESSAGE,  /* the table of legal messages ends the sender */
    HOSTILE_LIE,      /* legal by that table: what the broker knows ends the sender */
    HOSTILE_NUISANCE, /* may be done: it costs the own device only */
    HOSTILE_CONTROL, /* ordinary work, by the same means: must succeed, or the others prove nothing */
};

enum hostile_mode {
    HOSTILE_CAGED, /* the real sandbox */
    HOSTILE_BARE,  /* all layers but seccomp */
    HOSTILE_OPEN,  /* namespaces of its own, no sandbox_enter(): the control of the test */
};

enum hostile_state {
    HOSTILE_NONE,
    HOSTILE_TRYING,
    HOSTILE_DENIED,
    HOSTILE_SUCCEEDED,
    HOSTILE_DONE,
    HOSTILE_BROKEN
};

struct hostile_box { /* in the stats page, at HOSTILE_BOX_OFFSET */
    uint32_t magic;
    uint32_t mode; /* from the test */
    uint32_t
        at_once;   /* from the test: don't serve first, say nothing, one action; 2: once active */
    uint32_t next; /* index of the next action */
    uint32_t n_actions; /* of this program's table */
    uint32_t lives;
    uint32_t current, kind, state; /* the last one tried */
    int32_t error;                 /* HOSTILE_DENIED: errno */
    char name[HOSTILE_NAME_BYTES];
    uint8_t kinds[HOSTILE_MAX];
};

struct worker;

struct hostile_action {
    const char *name;
    enum hostile_kind kind;
    unsigned roles; /* bits 1 << ROLE; 0: all */
    long nr;        /* a system call with these arguments, if run is NULL */
    uint64_t args[6];
    int reached; /* an errno that comes after every check of rights: as good as done */
    long (*run)(struct worker *w, unsigned arg); /* -errno, or >= 0: it was let */
    unsigned arg;
    bool by_name; /* only if it was ordered: without a control group there is no end to it */
    /* Instead of run: changes Ready, or says something before it. */
    long (*on_ready)(struct worker *w, Bulkhead__Ready *ready, unsigned arg);
};

struct hostile_table {
    const struct hostile_action *actions;
    unsigned n;
};

extern const struct hostile_table hostile_files, hostile_processes, hostile_kernel, hostile_ring,
    hostile_messages, hostile_nuisances, hostile_exhaust;

#define HOSTILE_TABLE(table_name, array)                                                           \
    const struct hostile_table table_name = { (array), sizeof(array) / sizeof(array[0]) }
/* An argument that is an address. */
#define ADDRESS(x) ((uint64_t)(uintptr_t)(x))

static inline unsigned hostile_role(Bulkhead__Role role)
{
    return 1u << role;
}
#define HOSTILE_NOT(ROLE) (~(1u << BULKHEAD__ROLE__ROLE_##ROLE))
#define HOSTILE_ONLY(ROLE) (1u << BULKHEAD__ROLE__ROLE_##ROLE)

/* ---- for actions ---- */
extern struct worker *hostile_worker;             /* this process's own */
long hostile_call(long nr, const uint64_t *args); /* -errno or the result */
/* Waits for the broker to end this process; beats the heart meanwhile. >= 0: it did not. */
long hostile_await_end(struct worker *w);
long hostile_send_raw(const void *bytes, uint64_t len, unsigned n_fds); /* -errno, >= 0 */
int hostile_fence_map(void);                                            /* before the sandbox */
bool hostile_has_fence(void);
struct iovec;
long hostile_ring_write(const struct iovec *iov, uint64_t offset); /* at the ring's file 0 */
long hostile_ring_allocate(int mode, uint64_t offset, uint64_t len_bytes);
struct vq_config;
struct vq_addresses;
void hostile_see_queue(const struct vq_config *config);
void hostile_see_rings(const struct vq_addresses *a);
