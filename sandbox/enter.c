/* SPDX-License-Identifier: Apache-2.0 */
/* enter.c - see enter.h. */
#include "sandbox/enter.h"

#include <errno.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/caps.h"
#include "sandbox/ids.h"
#include "sandbox/landlock.h"
#include "sandbox/layers.h"
#include "sandbox/namespaces.h"
#include "sandbox/root.h"
#include "sandbox/trim.h"

enum { MAX_KEEP = 512 };

struct enter {
    bool insecure;
    bool prepared; /* by spawn_child.c: no capabilities, empty root */
    unsigned missing;
};

/* Notes what a layer's step said. A mandatory layer that is missing ends the start. */
static int layer_result(struct enter *e, unsigned layer, int r)
{
    if (r >= 0)
        return 0;
    e->missing |= layer;
    if (!e->insecure && (layer & SANDBOX_LAYERS_MANDATORY))
        return err_trace(r);
    return 0;
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static int close_gap(unsigned first, unsigned last)
{
    if (syscall(SYS_close_range, first, last, 0u) < 0)
        return err_origin(-errno, "closing descriptors %u to %u", first, last);
    return 0;
}

/* Closes all but descriptors 0 to FD_CONTROL and keep[]. */
static int close_others(const int *keep, unsigned n_keep, unsigned *ret_highest)
{
    int sorted[MAX_KEEP];
    unsigned next = FD_CHILD_FIRST_FREE;
    int r;

    if (n_keep > MAX_KEEP)
        return err_origin(-E2BIG, "%u descriptors to keep", n_keep);
    if (n_keep > 0) {
        memcpy(sorted, keep, n_keep * sizeof *keep);
        qsort(sorted, n_keep, sizeof *sorted, compare_ints);
    }
    for (unsigned i = 0; i < n_keep; i++) {
        unsigned fd = (unsigned)sorted[i];

        if (sorted[i] < 0)
            return err_origin(-EBADF, "descriptor %d to keep", sorted[i]);
        if (fd < next)
            continue;
        if (fd > next) {
            r = close_gap(next, fd - 1);
            if (r < 0)
                return err_trace(r);
        }
        next = fd + 1;
    }
    *ret_highest = next - 1;
    return close_gap(next, ~0u);
}

/* What libc and the kernel do late or not at all: gmtime() opens the time zone's file at its first
 * call; a program started through its descriptor may bear that number as its name. */
static void prepare_process(void)
{
    char name[17] = { 0 };

    tzset();
    if (prctl(PR_GET_NAME, name, 0, 0, 0) == 0 && name[0] != '\0' &&
        strspn(name, "0123456789") == strlen(name))
        prctl(PR_SET_NAME, program_invocation_short_name, 0, 0, 0);
}

/* Such a child can't look: there is no /proc. Nobody gets here by mistake, since nobody else makes
 * that root, and spawn_child.c makes it only in namespaces that are the child's own. */
static bool is_prepared(void)
{
    return getpid() == 1 && caps_none() && root_is_empty();
}

static int check_namespaces(struct enter *e)
{
    const unsigned wanted = SANDBOX_LAYER_USERNS | SANDBOX_LAYER_PIDNS | SANDBOX_LAYER_MNTNS |
                            SANDBOX_LAYER_NETNS | SANDBOX_LAYER_IPCNS | SANDBOX_LAYER_UTSNS |
                            SANDBOX_LAYER_CGROUPNS;
    unsigned lacking;

    if (e->prepared) {
        if (geteuid() != 0) /* in a user namespace of its own it is that one's root */
            e->missing |= SANDBOX_USERNS_REPLACED;
        return 0;
    }
    lacking = wanted & ~namespaces_own();
    e->missing |= lacking;
    lacking &= SANDBOX_LAYERS_MANDATORY;
    if (lacking != 0 && !e->insecure)
        return err_origin(-EPERM, "not started in a %s of its own",
                          sandbox_layer_name(lacking & (~lacking + 1u)));
    return 0;
}

/* Never in namespaces that are not this process's own: that would take the host's root away. */
static int enter_root(const struct enter *e)
{
    if (e->prepared)
        return 0;
    if (e->missing & (SANDBOX_LAYER_USERNS | SANDBOX_LAYER_MNTNS))
        return err_origin(-EPERM, "no mount namespace of its own");
    return root_enter();
}

static int enter_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? err_origin(-errno, "no_new_privs") : 0;
}

static int enter_undumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? err_origin(-errno, "dumpable") : 0;
}

static int enter_all(struct enter *e, const int *keep, unsigned n_keep,
                     const struct sandbox_limits *limits, struct limits_plan plan)
{
    unsigned highest = 0;
    int r;

    prepare_process();
    r = close_others(keep, n_keep, &highest);
    if (r < 0)
        return err_trace(r);
    plan.max_files = limits && limits->max_files ? limits->max_files : highest + 1ull;
    plan.file_bytes = limits ? limits->file_bytes : 0;
    r = limits_data_now(&plan.data_bytes);
    if (r == 0)
        plan.data_bytes += SANDBOX_DATA_SPARE_BYTES + (limits ? limits->stack_bytes : 0);
    if (r == 0 && limits && limits->no_new_addresses)
        r = limits_addresses_now(&plan.address_bytes);
    if (plan.address_bytes != 0)
        plan.address_bytes += SANDBOX_DATA_SPARE_BYTES + SANDBOX_STACK_BYTES;
    r = layer_result(e, SANDBOX_LAYER_RLIMITS, r);
    e->prepared = is_prepared();
    if (r == 0)
        r = check_namespaces(e);
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_ROOT, enter_root(e));
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_CAPS, e->prepared ? 0 : caps_enter(0));
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_NNP, enter_no_new_privs());
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_UNDUMPABLE, enter_undumpable());
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_RLIMITS, limits_enter(&plan));
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_MDWE, limits_no_exec_memory());
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_LANDLOCK, landlock_enter(NULL, 0, LANDLOCK_READ));
    return r < 0 ? err_trace(r) : 0;
}

int sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                  const struct sandbox_limits *limits, bool insecure, unsigned *ret_missing)
{
    struct enter e = { .insecure = insecure };
    /* The disk's io_uring has the kernel start threads for what would block (fsync); they count
     * as processes, and without them such requests are cancelled. seccomp bars clone all the same. */
    struct limits_plan plan = { .no_new_threads = filter->id != SANDBOX_BLK };
    int r = enter_all(&e, keep, n_keep, limits, plan);

    trim_start_code();
    if (r == 0)
        r = layer_result(&e, SANDBOX_LAYER_SECCOMP, seccomp_enter(filter));
    if (r < 0)
        return err_trace(r);
    *ret_missing = e.missing;
    return 0;
}

int sandbox_enter_process(const int *keep, unsigned n_keep, const struct sandbox_limits *limits,
                          bool insecure, unsigned *ret_missing)
{
    struct enter e = { .insecure = insecure };
    int r = enter_all(&e, keep, n_keep, limits, (struct limits_plan){ 0 });

    if (r < 0)
        return err_trace(r);
    *ret_missing = e.missing;
    return 0;
}

int sandbox_enter_thread(const struct sandbox_filter *filter)
{
    int r;

    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || !caps_none())
        return err_origin(-EPERM, "this thread was made before sandbox_enter_process()");
    /* The main thread is the last: all threads are there, none may be added. */
    if (filter->id != SANDBOX_CORE_VCPU) {
        r = limits_no_new_threads();
        if (r < 0)
            return err_trace(r);
    }
    return seccomp_enter(filter);
}

/* Before the capabilities go, and without their going by it. */
int sandbox_take_uid(uint32_t uid)
{
    if (uid == 0)
        return 0;
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
        sandbox_ids_take(uid, uid, true) < 0)
        return err_origin(-errno, "becoming uid %u", uid);
    return 0;
}

struct folders {
    const int *fds;
    unsigned n;
    enum landlock_right right;
};

/* What stays in the host's user namespace. limits: what the caller's rlimits layer said. filter NULL: its threads' affair. */
static int enter_in_host(struct enter *e, const struct sandbox_filter *filter, uint64_t keep_caps,
                         int limits, struct folders folders)
{
    int r = layer_result(e, SANDBOX_LAYER_CAPS, caps_enter(keep_caps));

    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_NNP, enter_no_new_privs());
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_UNDUMPABLE, enter_undumpable());
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_RLIMITS, limits);
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_MDWE, limits_no_exec_memory());
    if (r == 0)
        r = layer_result(e, SANDBOX_LAYER_LANDLOCK,
                         landlock_enter(folders.fds, folders.n, folders.right));
    trim_start_code();
    if (r == 0 && filter)
        r = layer_result(e, SANDBOX_LAYER_SECCOMP, seccomp_enter(filter));
    return r < 0 ? err_trace(r) : 0;
}

int sandbox_enter_broker(const struct sandbox_filter *filter, const struct sandbox_broker *rights,
                         unsigned *ret_missing)
{
    const struct folders folders = { rights->readable, SANDBOX_READABLE_MAX, LANDLOCK_READ };
    struct enter e = { .insecure = rights->insecure };
    int r = sandbox_take_uid(rights->uid);

    if (r == 0)
        r = enter_in_host(&e, filter, 0, limits_no_core(), folders);
    if (r < 0)
        return err_trace(r);
    *ret_missing = e.missing;
    return 0;
}

int sandbox_enter_holder(const struct sandbox_filter *filter, uint64_t keep_caps)
{
    static const int folder = SANDBOX_FOLDER_FD;
    struct limits_plan plan = { .max_files = SANDBOX_HOLDER_FILES, .no_new_threads = true };
    struct enter e = { 0 };
    int r = limits_data_now(&plan.data_bytes);

    if (r < 0)
        return err_trace(r);
    plan.data_bytes += SANDBOX_DATA_SPARE_BYTES;
    r = enter_in_host(&e, filter, keep_caps, limits_enter(&plan),
                      (struct folders){ &folder, 1, LANDLOCK_REMOVE });

    return r < 0 ? err_trace(r) : 0;
}

/* As far as it goes: whoever is not root has landlock and the filter alone for it. */
static void leave_host(struct enter *e)
{
    static const struct {
        int flag;
        unsigned layer;
    } own[] = { { CLONE_NEWNS, SANDBOX_LAYER_MNTNS },
                { CLONE_NEWNET, SANDBOX_LAYER_NETNS },
                { CLONE_NEWIPC, SANDBOX_LAYER_IPCNS },
                { CLONE_NEWUTS, SANDBOX_LAYER_UTSNS } };

    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        if (unshare(own[i].flag) < 0)
            e->missing |= own[i].layer;
    if ((e->missing & SANDBOX_LAYER_MNTNS) || root_enter() < 0)
        e->missing |= SANDBOX_LAYER_ROOT;
}

int sandbox_enter_hostd(const struct sandbox_hostd *rights, unsigned *ret_missing)
{
    struct limits_plan plan = { .max_files = rights->max_files, .file_bytes = rights->file_bytes };
    struct enter e = { 0 };
    int r = limits_data_now(&plan.data_bytes);

    prepare_process();
    plan.data_bytes += rights->data_bytes;
    leave_host(&e);
    if (r == 0)
        r = sandbox_take_uid(rights->uid);
    if (r == 0)
        r = enter_in_host(&e, NULL, 0, limits_enter(&plan),
                          (struct folders){ NULL, 0, LANDLOCK_READ });
    if (r < 0)
        return err_trace(r);
    *ret_missing = e.missing;
    return 0;
}
