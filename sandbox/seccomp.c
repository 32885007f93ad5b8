/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.c - the last step: from here on only what the profile lists. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "layers.h"

int seccomp_enter(const struct sandbox_filter *filter)
{
    /* The kernel only reads the program; its type is not const. */
    union {
        const struct sock_filter *in;
        struct sock_filter *out;
    } code = { .in = filter->filter };
    struct sock_fprog program = { .len = (unsigned short)filter->n_instructions,
                                  .filter = code.out };

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &program) < 0)
        return err_origin(-errno, "seccomp filter %s", filter->name);
    return 0;
}
