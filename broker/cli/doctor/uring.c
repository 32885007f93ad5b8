// SPDX-License-Identifier: Apache-2.0
// uring.c - can a ring be made and fenced? By the system calls themselves: liburing has its
// home elsewhere, and the question is what the kernel allows, not what the library wraps.
#include "doctor/uring.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"

static int set_up(struct doctor_result *result)
{
    struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
    struct io_uring_restriction fence[] = {
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE },
        { .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
    };
    cleanup_(fd_closep) int ring = (int)syscall(SYS_io_uring_setup, 8, &params);

    if (ring < 0)
        return -errno;
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_RESTRICTIONS, fence,
                ARRAY_SIZE(fence)) < 0)
        return -errno;
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        return -errno;
    doctor_ok(result, "a ring was made, restricted and enabled");
    return 0;
}

#define FALL_BACK " (disks and taps fall back to a system call for each request)"

void doctor_io_uring(struct doctor_result *result)
{
    int r = set_up(result);

    if (r == -EPERM || r == -EACCES)
        doctor_missing(
            result, true, "forbidden here" FALL_BACK,
            "sysctl kernel.io_uring_disabled=0, or leave the container's seccomp profile");
    else if (r < 0)
        doctor_missing(result, true, "not in this kernel, or without restrictions" FALL_BACK,
                       "Linux 5.10 or later with CONFIG_IO_URING");
}
