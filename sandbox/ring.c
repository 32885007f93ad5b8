/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - see ring.h. */
#include "sandbox/ring.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

enum { MAX_OPS = 4, N_WORDS = sizeof(struct io_uring_params) / sizeof(uint32_t) };

static const struct {
    unsigned n;
    uint8_t ops[MAX_OPS];
} purposes[] = {
    [RING_NONE] = { 0, { 0 } },
    [RING_DISK] = { 3, { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC } },
    [RING_BLOCK_DEVICE] = { 4,
                            { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
                              IORING_OP_FALLOCATE } },
    [RING_FRAMES] = { 1, { IORING_OP_WRITEV } },
};

/* DEFER_TASKRUN is not asked for: its completions are posted by the submitting task alone, so the
 * ring of a dead worker would never be seen to drain. The single issuer is who enables the ring. */
static int open_disabled(unsigned entries, struct io_uring_params *params)
{
    static const unsigned wishes[] = { IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                                           IORING_SETUP_SINGLE_ISSUER,
                                       IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0 };
    int fd = -1;

    errno = EINVAL;
    for (unsigned i = 0; i < ARRAY_SIZE(wishes) && fd < 0 && errno == EINVAL; i++) {
        *params = (struct io_uring_params){ .flags = IORING_SETUP_R_DISABLED | wishes[i] };
        fd = (int)syscall(SYS_io_uring_setup, entries, params);
    }
    return fd < 0 ? err_origin(-errno, "io_uring") : fd;
}

static int fence(int fd, enum ring_purpose purpose)
{
    struct io_uring_restriction allowed[MAX_OPS + 2] = {
        { .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE },
        { .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
    };
    unsigned n = 2;

    for (unsigned i = 0; i < purposes[purpose].n; i++)
        allowed[n++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP,
                                                      .sqe_op = purposes[purpose].ops[i] };
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, allowed, n) < 0)
        return err_origin(-errno, "restricting the io_uring");
    return 0;
}

int ring_make(enum ring_purpose purpose, unsigned entries, struct io_uring_params *ret_params,
              int *ret_fd)
{
    cleanup_(fd_closep) int fd = open_disabled(entries, ret_params);
    int r = fd < 0 ? fd : fence(fd, purpose);

    if (r < 0)
        return err_trace(r);
    *ret_fd = fd_take(&fd);
    return 0;
}

void ring_print(const struct io_uring_params *params, char ret_text[RING_TEXT_BYTES])
{
    uint32_t words[N_WORDS];
    size_t n = 0;

    memcpy(words, params, sizeof words);
    for (unsigned i = 0; i < N_WORDS; i++)
        n += (size_t)snprintf(ret_text + n, RING_TEXT_BYTES - n, "%s%x", i ? "," : "", words[i]);
}

int ring_parse(const char *text, struct io_uring_params *ret_params)
{
    uint32_t words[N_WORDS];

    for (unsigned i = 0; i < N_WORDS; i++) {
        char *end;
        unsigned long word = strtoul(text, &end, 16);

        if (end == text || word > UINT32_MAX || *end != (i + 1 < N_WORDS ? ',' : '\0'))
            return err_origin(-EINVAL, "the layout of an io_uring");
        words[i] = (uint32_t)word;
        text = end + 1;
    }
    memcpy(ret_params, words, sizeof words);
    return 0;
}
