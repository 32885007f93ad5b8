// SPDX-License-Identifier: Apache-2.0
// victim.c - a process in a real sandbox with one thing wrong, named by its first argument.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox/enter.h"
#include "sandbox/gen/filter_net.h"
#include "sandbox/gen/filter_rng.h"

enum { RAM_BYTES = 1 << 20 };

static bool is(const char *fault, const char *name)
{
    return strcmp(fault, name) == 0;
}

static void map_ram(int prot)
{
    int fd = memfd_create("guest-ram", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, RAM_BYTES) < 0 ||
        mmap(NULL, RAM_BYTES, prot, MAP_SHARED, fd, 0) == MAP_FAILED)
        _exit(10);
    close(fd);
}

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

/* What can be done before the sandbox is entered, and would be refused afterwards. */
static void fault_before(const char *fault)
{
    if (is(fault, "ram-extra"))
        map_ram(PROT_READ);
    if (is(fault, "ram-exec"))
        map_ram(PROT_READ | PROT_EXEC);
    if (is(fault, "write-exec") && mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        _exit(11);
}

static void fault_after(const char *fault)
{
    pthread_t thread;

    if (is(fault, "fd-socket") && socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        _exit(12);
    if (is(fault, "fd-memfd") && memfd_create("spare", 0) < 0)
        _exit(12);
    if (is(fault, "fd-eventfd") && eventfd(0, 0) < 0)
        _exit(12);
    if (is(fault, "fd-epoll") && epoll_create1(0) < 0)
        _exit(12);
    if (is(fault, "vcpu"))
        prctl(PR_SET_NAME, "vcpu0");
    if (is(fault, "dumpable"))
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (is(fault, "thread") && pthread_create(&thread, NULL, idle, NULL) != 0)
        _exit(13);
}

static void add_filter(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = { .len = 1, .filter = &allow };

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        _exit(14);
}

/* Only the filter: everything else that a sandbox has is missing. */
static void bare_filter(bool no_new_privs)
{
    union {
        const struct sock_filter *in;
        struct sock_filter *out;
    } code = { .in = sandbox_filter_rng.filter };
    struct sock_fprog prog = { .len = (unsigned short)sandbox_filter_rng.n_instructions,
                               .filter = code.out };

    if (no_new_privs)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        _exit(15);
}

static void enter(const char *fault)
{
    struct sandbox_limits limits = { .max_files = 64, .stack_bytes = 16 << 20 };
    unsigned missing = 0;
    int keep[] = { 4 };

    if (is(fault, "bare") || is(fault, "no-nnp")) {
        bare_filter(is(fault, "bare"));
        return;
    }
    fault_before(fault);
    if (sandbox_enter_process(keep, 1, &limits, true, &missing) < 0)
        _exit(16);
    fault_after(fault);
    if (is(fault, "filter-second"))
        add_filter();
    if (is(fault, "filter-none"))
        return;
    if (sandbox_enter_thread(is(fault, "filter-wrong") ? &sandbox_filter_net
                                                       : &sandbox_filter_rng) < 0)
        _exit(17);
}

int main(int argc, char **argv)
{
    char byte;

    enter(argc > 1 ? argv[1] : "");
    if (write(2, "r", 1) != 1)
        return 18;
    /* Until the test closes its end. */
    return read(3, &byte, 1) < 0 && errno != EINTR;
}
