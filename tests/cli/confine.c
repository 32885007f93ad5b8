/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - runs a command under no_new_privs and a seccomp filter that answers some system calls
 * with an error, as a hardened kernel, a container or a service's unit does.
 * usage: confine WHAT... -- PROGRAM [ARGUMENT]... */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What each stands for, and its answer there. */
static const struct {
    const char *what;
    int error;
    int calls[12]; /* ends with 0 */
} table[] = {
    /* kernel.io_uring_disabled=2, or a container's default profile */
    { "io_uring", EPERM, { SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register } },
    /* a kernel whose lsm= leaves landlock out */
    { "landlock",
      EOPNOTSUPP,
      { SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self } },
    /* kernel.yama.ptrace_scope=3 */
    { "trace",
      EPERM,
      { SYS_ptrace, SYS_pidfd_getfd, SYS_process_vm_readv, SYS_process_vm_writev } },
    /* SystemCallFilter=~@clock @debug @module @obsolete @raw-io @reboot @swap, the largest part */
    { "service",
      EPERM,
      { SYS_clock_settime, SYS_settimeofday, SYS_ptrace, SYS_init_module, SYS_finit_module,
        SYS_delete_module, SYS_iopl, SYS_ioperm, SYS_reboot, SYS_swapon, SYS_kexec_load } },
};

enum { MAX_INSTRUCTIONS = 200 };

struct program {
    struct sock_filter code[MAX_INSTRUCTIONS];
    unsigned short n;
};

static void add(struct program *p, struct sock_filter f)
{
    p->code[p->n++] = f;
}

static int add_row(struct program *p, const char *what)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].what, what) != 0)
            continue;
        for (size_t c = 0; c < 12 && table[i].calls[c] != 0; c++) {
            add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                (unsigned)table[i].calls[c], 0, 1));
            add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                                SECCOMP_RET_ERRNO | (unsigned)table[i].error));
        }
        return 0;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct sock_fprog filter;
    int i;

    add(&p,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (add_row(&p, argv[i]) < 0)
            break;
    if (i >= argc - 1 || strcmp(argv[i], "--") != 0) {
        fprintf(stderr, "usage: confine io_uring|landlock|trace|service... -- PROGRAM ...\n");
        return 125;
    }
    add(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    filter = (struct sock_fprog){ .len = p.n, .filter = p.code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
        perror("confine");
        return 125;
    }
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
