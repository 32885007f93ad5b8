/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.c - see seccomp.h. */
#include "sandbox/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"

#ifdef BH_SANITIZED
/* The leak check at exit ptraces its own process, which no filter allows. */
static bool entered;
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return entered;
}
#endif

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
#ifdef BH_SANITIZED
    entered = true;
#endif
    return 0;
}
