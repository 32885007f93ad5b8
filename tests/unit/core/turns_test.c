/* SPDX-License-Identifier: Apache-2.0 */
/* turns_test.c - vmm-core/vcpu_threads.c: the threads run, stand still and go on as they are told to. Below
 * them is a hypervisor whose guest does nothing until it is interrupted. */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_core_vcpu.h"
#include "sandbox/seccomp.h"
#include "vcpu_threads.h"

enum { VCPUS = 2, PATIENCE_MS = 60000, ROUNDS = 50 };

struct hv_vcpu {
    bool interrupted;
    bool idle; /* waits for its INIT */
    unsigned runs, idled, told;
};

struct hv {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hv_vcpu vcpus[VCPUS];
    bool hold_when_told; /* the first vCPU that tells the guest's clock is held again meanwhile */
    struct hv_vcpu *held;
};

enum { TESTS = 6 };
static struct hv hvs[TESTS], *hv;
static struct core cores[TESTS], *core;
static unsigned ends;

/* ---- what vcpu_threads.c calls ---- */

const struct sandbox_filter sandbox_filter_core_vcpu;

int sandbox_enter_thread(const struct sandbox_filter *filter)
{
    (void)filter;
    return 0;
}

void core_guest_ended(struct core *c, Bulkhead__GuestStateKind how, const char *detail)
{
    (void)c, (void)how, (void)detail;
    __atomic_add_fetch(&ends, 1, __ATOMIC_RELAXED);
}

void core_host_failed(struct core *c, const char *detail)
{
    (void)c, (void)detail;
    __atomic_add_fetch(&ends, 1, __ATOMIC_RELAXED);
}

struct hv_vcpu *hv_vcpu_at(struct hv *h, unsigned index)
{
    return &h->vcpus[index];
}

int hv_vcpu_first_run(struct hv_vcpu *vcpu)
{
    (void)vcpu;
    return 0;
}

int hv_vcpu_enter(struct hv_vcpu *vcpu, const struct hv_entry *entry)
{
    (void)vcpu, (void)entry;
    return 0;
}

void hv_vcpu_interrupt(struct hv_vcpu *vcpu, bool on)
{
    pthread_mutex_lock(&hv->lock);
    vcpu->interrupted = on;
    pthread_cond_broadcast(&hv->changed);
    pthread_mutex_unlock(&hv->lock);
}

void hv_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret_exit)
{
    ret_exit->kind = HV_EXIT_NONE;
    pthread_mutex_lock(&hv->lock);
    vcpu->runs++;
    pthread_cond_broadcast(&hv->changed);
    while (!vcpu->interrupted && !vcpu->idle)
        pthread_cond_wait(&hv->changed, &hv->lock);
    if (!vcpu->interrupted) {
        ret_exit->kind = HV_EXIT_IDLE;
        vcpu->idled++;
        pthread_cond_broadcast(&hv->changed);
    }
    pthread_mutex_unlock(&hv->lock);
}

void hv_vcpu_was_paused(struct hv_vcpu *vcpu)
{
    bool hold;

    pthread_mutex_lock(&hv->lock);
    hold = hv->hold_when_told;
    hv->hold_when_told = false;
    if (hold)
        hv->held = vcpu;
    vcpu->told++;
    pthread_cond_broadcast(&hv->changed);
    pthread_mutex_unlock(&hv->lock);
    if (hold)
        core_hold(core);
}

/* ---- the control thread's part ---- */

/* The lock is recursive, so that a test can put two calls where no thread gets in between. */
static void prepare(void)
{
    pthread_mutexattr_t recursive;

    hv = hv ? hv + 1 : hvs;
    core = core ? core + 1 : cores;
    pthread_mutex_init(&hv->lock, NULL);
    pthread_cond_init(&hv->changed, NULL);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&core->turn_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_cond_init(&core->turn_changed, NULL);
    core->hv = hv;
    core->n_vcpus = VCPUS;
    core->pid = getpid();
    core->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void start(void)
{
    prepare();
    assert_int_equal(core_start_threads(core), 0);
}

static void wait_for_all(const char *what)
{
    struct pollfd wait = { .fd = core->wake_fd, .events = POLLIN };
    bool all = false;

    while (!all) {
        if (poll(&wait, 1, PATIENCE_MS) != 1)
            fail_msg("%s: nobody says that all vCPUs stand still", what);
        (void)fd_event_drain(core->wake_fd);
        pthread_mutex_lock(&core->turn_lock);
        all = core->turns.turn == CORE_HOLD && core->turns.parked == VCPUS;
        pthread_mutex_unlock(&core->turn_lock);
    }
}

static void wait_count(const unsigned *count, unsigned at_least, const char *what)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&hv->lock);
    while (*count < at_least)
        if (pthread_cond_timedwait(&hv->changed, &hv->lock, &until) != 0)
            fail_msg("%s: %u, not %u", what, *count, at_least);
    pthread_mutex_unlock(&hv->lock);
}

/* The threads stay, and stand still. */
static void end(void)
{
    core_hold(core);
    wait_for_all("end");
    close(core->wake_fd);
}

/* ---- tests ---- */

/* No thread sees that it may run before the next pause: each pause is answered all the same. */
static void pause_right_after_resume(void **state)
{
    (void)state;
    start();
    core_resume(core);
    core_hold(core);
    wait_for_all("first pause");
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&core->turn_lock);
        core_resume(core);
        core_hold(core);
        pthread_mutex_unlock(&core->turn_lock);
        wait_for_all("pause right after a resume");
    }
    end();
}

static void pause_of_what_stands_still(void **state)
{
    (void)state;
    start();
    core_resume(core);
    core_hold(core);
    wait_for_all("first pause");
    core_hold(core);
    wait_for_all("second pause");
    end();
}

/* Also of one that begins while the thread is telling it of the one before. */
static void clock_is_told_of_each_pause(void **state)
{
    (void)state;
    start();
    core_resume(core);
    for (unsigned i = 0; i < VCPUS; i++)
        wait_count(&hv->vcpus[i].runs, 1, "runs");
    core_hold(core);
    wait_for_all("first pause");
    hv->hold_when_told = true;
    core_resume(core);
    wait_for_all("second pause");
    core_resume(core);
    wait_count(&hv->held->told, 2, "pauses that the guest's clock was told of");
    end();
}

/* A vCPU that waits for its INIT with something pending ends nothing, and stands still as others. */
static void idle_vcpu_can_be_held(void **state)
{
    (void)state;
    start();
    hv->vcpus[1].idle = true;
    core_resume(core);
    wait_count(&hv->vcpus[1].idled, 3, "runs of the idle vCPU");
    core_hold(core);
    wait_for_all("pause with an idle vCPU");
    end();
    assert_int_equal(__atomic_load_n(&ends, __ATOMIC_RELAXED), 0);
}

/* Only the one that is pinned; a set that the kernel would cut down is refused. */
static void pinned(void **state)
{
    cpu_set_t all, is;
    int last = CPU_SETSIZE - 1;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    while (!CPU_ISSET(last, &all))
        last--;
    prepare();
    CPU_SET(last, &core->host_cpus[1]);
    assert_int_equal(core_start_threads(core), 0);
    assert_int_equal(sched_getaffinity(core->vcpus[1].tid, sizeof is, &is), 0);
    assert_true(CPU_EQUAL(&is, &core->host_cpus[1]));
    assert_int_equal(sched_getaffinity(core->vcpus[0].tid, sizeof is, &is), 0);
    assert_true(CPU_EQUAL(&is, &all));
    end();

    prepare();
    CPU_SET(last, &core->host_cpus[0]);
    CPU_SET(CPU_SETSIZE - 1, &core->host_cpus[0]);
    assert_int_equal(core_start_threads(core), -EOPNOTSUPP);
    assert_non_null(strstr(err_text(), "vCPU 0 can't be pinned to all"));
    close(core->wake_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_right_after_resume),
        cmocka_unit_test(pause_of_what_stands_still),
        cmocka_unit_test(clock_is_told_of_each_pause),
        cmocka_unit_test(idle_vcpu_can_be_held),
        cmocka_unit_test(pinned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
