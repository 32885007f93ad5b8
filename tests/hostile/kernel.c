/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c - the wide doors of the kernel: memory that runs, guest RAM's size, new descriptors,
 * bpf, keys, modules, ioctls, io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_state.h"
#include "hostile.h"

#define CALL(what, number, ...)                                                                    \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .nr = SYS_##number, .args = { __VA_ARGS__ }         \
    }
#define CALL_OR(what, err, number, ...)                                                            \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .nr = SYS_##number, .args = { __VA_ARGS__ },        \
        .reached = err                                                                             \
    }
#define RUN(what, function, value)                                                                 \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .run = function, .arg = value                       \
    }
#define KVM_CREATE_VM 0xae01u
#define KVM_GET_API_VERSION 0xae00u

static char buffer[4096];
static char page[2 * PAGE_BYTES];
static struct io_uring_params params;
static const uint32_t bpf_attr[32] = { 2 /* array */, 4, 4, 1 };
static struct perf_event_attr perf = { .type = PERF_TYPE_SOFTWARE,
                                       .size = sizeof perf,
                                       .exclude_kernel = 1 };

/* Anything that is held might be what the call is for: every descriptor is tried. */
static long try_ioctl(struct worker *w, unsigned request)
{
    long r = -EBADF;

    for (unsigned i = 0; i < w->n_keep && r < 0; i++) {
        r = syscall(SYS_ioctl, w->keep[i], request, buffer);
        if (r < 0)
            r = errno == ENOTTY ? -ENOTTY : -errno;
    }
    return r;
}

static long try_ram(struct worker *w, unsigned how)
{
    const int fd = FD_STDIN; /* no worker holds that of RAM any more */
    long r;

    (void)w;

    switch (how) {
    case 0:
        r = ftruncate(fd, PAGE_BYTES);
        break;
    case 1:
        r = fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE_BYTES);
        break;
    case 2:
        r = fallocate(fd, 0, 1ll << 50, PAGE_BYTES); /* grow */
        break;
    case 3:
        r = fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
        break;
    default:
        r = syscall(SYS_mmap, 0, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        break;
    }
    return r < 0 ? -errno : r;
}

static long try_mprotect(struct worker *w, unsigned which)
{
    void *at = (void *)align_up((uintptr_t)page, PAGE_BYTES);
    long r;

    if (which == 1 && w->mem.n_regions > 0) /* guest RAM that runs */
        at = w->mem.regions[0].host_;
    r = which == 2 ? syscall(SYS_pkey_mprotect, at, PAGE_BYTES, PROT_READ | PROT_EXEC, -1)
                   : syscall(SYS_mprotect, at, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
    return r < 0 ? -errno : r;
}

static long try_fcntl(struct worker *w, unsigned command)
{
    long r = syscall(SYS_fcntl, w->keep[0], command, command == F_SETFL ? O_APPEND | O_ASYNC : 0);

    return r < 0 ? -errno : r;
}

static const struct hostile_action actions[] = {
    CALL("mmap-exec", mmap, 0, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
         MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0),
    CALL("mmap", mmap, 0, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
         (uint64_t)-1, 0),
    RUN("mprotect-exec", try_mprotect, 0),
    RUN("mprotect-exec-guest-ram", try_mprotect, 1),
    RUN("pkey-mprotect-exec", try_mprotect, 2),
    CALL("mremap", mremap, ADDRESS(buffer), 0, 0, 0, 0),
    CALL("madvise", madvise, 0, 0, MADV_DONTNEED),
    CALL("mlockall", mlockall, MCL_CURRENT),
    CALL("memfd", memfd_create, ADDRESS("code"), 0),
    CALL("memfd-secret", memfd_secret, 0),
    CALL("shmget", shmget, 0, PAGE_BYTES, 0),
    CALL("userfaultfd", userfaultfd, 1 /* user mode only */),
    RUN("ram-shrink", try_ram, 0),
    RUN("ram-collapse", try_ram, 1),
    RUN("ram-grow", try_ram, 2),
    RUN("ram-seal", try_ram, 3),
    RUN("ram-map-exec", try_ram, 4),
    RUN("fcntl-setfl", try_fcntl, F_SETFL),
    RUN("fcntl-setown", try_fcntl, F_SETOWN),
    RUN("fcntl-setsig", try_fcntl, F_SETSIG),
    RUN("fcntl-dupfd", try_fcntl, F_DUPFD),
    CALL("dup", dup, FD_STDIN),
    CALL("dup2", dup2, FD_STDIN, FD_STDOUT),
    CALL("pipe", pipe2, ADDRESS(buffer), 0),
    CALL("eventfd", eventfd2, 0, 0),
    CALL("timerfd", timerfd_create, 1, 0),
    CALL("signalfd", signalfd4, (uint64_t)-1, ADDRESS(buffer), 8, 0),
    CALL("epoll-create", epoll_create1, 0),
    CALL("splice", splice, FD_STDIN, 0, FD_STDOUT, 0, 0, 0),
    CALL("lseek", lseek, FD_STDIN, 0, 0),

    CALL("bpf", bpf, 0, ADDRESS(bpf_attr), sizeof bpf_attr),
    CALL("perf", perf_event_open, ADDRESS(&perf), 0, (uint64_t)-1, (uint64_t)-1, 0),
    CALL("keyctl", keyctl, KEYCTL_GET_KEYRING_ID, (uint64_t)-3, 1),
    CALL("add-key", add_key, ADDRESS("user"), ADDRESS("hostile"), ADDRESS("x"), 1, (uint64_t)-2),
    CALL("request-key", request_key, ADDRESS("user"), ADDRESS("none"), 0, 0),
    CALL("init-module", init_module, ADDRESS(buffer), 0, ADDRESS("")),
    CALL("finit-module", finit_module, (uint64_t)-1, ADDRESS(""), 0),
    CALL("delete-module", delete_module, ADDRESS("none"), O_NONBLOCK),
    CALL("kexec-load", kexec_load, 0, 0, 0, ~0ull),
    CALL("kexec-file-load", kexec_file_load, (uint64_t)-1, (uint64_t)-1, 0, 0, ~0ull),
    CALL_OR("reboot", EINVAL, reboot, 0, 0, 0, 0), /* wrong magic */
    CALL("swapon", swapon, ADDRESS("/nonexistent"), 0),
    CALL("iopl", iopl, 3),
    CALL("ioperm", ioperm, 0x80, 1, 1),
    CALL("syslog", syslog, 10, 0, 0),
    CALL("acct", acct, ADDRESS("/nonexistent")),
    CALL("quotactl", quotactl, 0x80000100u, 0, 0, 0),
    CALL("settimeofday", settimeofday, 0, 0),
    CALL("clock-settime", clock_settime, 0, ADDRESS(buffer)),
    CALL("sethostname", sethostname, ADDRESS("x"), 1),
    CALL("vhangup", vhangup, 0),
    CALL("landlock", landlock_create_ruleset, 0, 0, 1),
    CALL("rseq", rseq, 0, 0, 1, 0),
    CALL_OR("getrandom-random", EAGAIN, getrandom, ADDRESS(buffer), 1, GRND_RANDOM | GRND_NONBLOCK),

    RUN("ioctl-kvm-version", try_ioctl, KVM_GET_API_VERSION),
    RUN("ioctl-kvm-create-vm", try_ioctl, KVM_CREATE_VM),
    RUN("ioctl-tiocsti", try_ioctl, 0x5412),
    RUN("ioctl-tunsetiff", try_ioctl, TUNSETIFF),
    RUN("ioctl-tunsetpersist", try_ioctl, TUNSETPERSIST),
    RUN("ioctl-ficlone", try_ioctl, FICLONE),
    RUN("ioctl-fionread", try_ioctl, FIONREAD),

    CALL("io-uring-setup", io_uring_setup, 8, ADDRESS(&params)),
    CALL_OR("io-uring-register", EOPNOTSUPP, io_uring_register, FD_CONTROL, IORING_UNREGISTER_FILES,
            0, 0),
    CALL("io-setup", io_setup, 1, ADDRESS(buffer)),
};
HOSTILE_TABLE(hostile_kernel, actions);
