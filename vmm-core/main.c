/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the core process, top to bottom: check what was inherited, Hello, Configure, build the
 * VM, sandbox, threads, Ready; then control.c has the word. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "control.h"
#include "core.h"
#include "kvm/vm.h"
#include "messages.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_core_control.h"
#include "vcpu_threads.h"

#ifndef BH_BUILD_ID
#define BH_BUILD_ID "dev"
#endif

enum { MAX_KEPT = 16 + LAYOUT_MAX_VCPUS };

static int say_hello(struct core *core)
{
    static char build_id[] = BH_BUILD_ID;
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;

    ENVELOPE(e, HELLO, hello, &hello);
    hello.protocol_min = PROTOCOL_MIN;
    hello.protocol_max = PROTOCOL_MAX;
    hello.build_id = build_id;
    hello.role = BULKHEAD__ROLE__ROLE_CORE;
    return core_send(core, &e);
}

static void say_failed(struct core *core, int r)
{
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    char what[256];

    ENVELOPE(e, FAILED, failed, &failed);
    snprintf(what, sizeof what, "%s", err_text());
    log_debug("%s (%s)", what, err_frames());
    failed.error = -r;
    failed.bad_input = r == -EOPNOTSUPP; /* the host can't do it */
    failed.what = what;
    if (core_send(core, &e) < 0) /* else the broker says it, once */
        log_error("%s", what);
}

static int configure(struct core *core)
{
    struct message msg;
    int r = core_control_next(core, true, &msg);

    if (r != 0)
        return r < 0 ? r : -EIO;
    return core_configure(core, msg.envelope->configure, msg.fds, msg.n_fds);
}

/* What may be open from now on; queues' eventfds follow with AttachDevice. */
static int enter_sandbox(struct core *core, unsigned *ret_missing)
{
    int keep[MAX_KEPT] = { FD_STDIN,
                           FD_STDOUT,
                           FD_LOG,
                           FD_CONTROL,
                           core->wake_fd,
                           core->life_fd,
                           core->control.epoll_fd };
    unsigned n = 7;
    int highest = 0;
    struct sandbox_limits limits = { 0 };

    if (core->serial_in_fd >= 0) {
        keep[n++] = core->serial_in_fd;
        keep[n++] = core->serial_out_fd;
    }
    n += hv_fds(core->hv, keep + n, MAX_KEPT - n);
    for (unsigned i = 0; i < n; i++)
        highest = MAX(highest, keep[i]);
    limits.max_files =
        (uint64_t)highest + 1 + 2 * LAYOUT_MAX_QUEUES * (uint64_t)(LAYOUT_PCI_SLOTS - 1);
    limits.stack_bytes = core_stack_bytes(core);
    return sandbox_enter_process(keep, n, &limits, core->insecure, ret_missing);
}

static int run(struct core *core)
{
    unsigned missing = 0;
    int r = say_hello(core);

    if (r == 0)
        r = configure(core);
    if (r < 0)
        return r;
    core->control.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (core->control.epoll_fd < 0)
        return err_origin(-errno, "epoll_create1");
    r = enter_sandbox(core, &missing);
    if (r == 0)
        r = core_start_threads(core);
    if (r == 0)
        r = sandbox_enter_thread(&sandbox_filter_core_control);
    return r == 0 ? core_control_run(core, missing) : err_trace(r);
}

int main(void)
{
    static struct core core; /* all the memory there is, touched as it is needed */
    int r;

    log_init("", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN); /* of the log, whose reader may die */
    r = fd_expect(FD_CONTROL, FD_TYPE_SEQPACKET, "control socket");
    if (r == 0)
        r = channel_new(&core.control.channel, FD_CONTROL, CHANNEL_ARENA_CHILD);
    if (r < 0) {
        log_error("%s (this program is started by bulkhead-broker)", err_text());
        return 1;
    }
    r = run(&core);
    if (r < 0 && r != -ESHUTDOWN)
        say_failed(&core, r);
    /* Not exit(): the vCPU threads are still there. */
    _exit(r == 0 || r == -ESHUTDOWN ? 0 : 1);
}
