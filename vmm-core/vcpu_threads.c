/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu_threads.c - see vcpu_threads.h. */
#include "vcpu_threads.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_core_vcpu.h"

/* Takes a thread out of the guest; only its arrival matters. */
enum { KICK_SIGNAL = SIGUSR1 };
enum { IDLE_NS = 1000000 };

#ifdef BH_SANITIZED
enum { STACK_BYTES = 1 << 20 };
#else
enum { STACK_BYTES = 128 << 10 };
#endif

static void on_kick(int sig)
{
    (void)sig;
}

static void do_pio(struct core *core, const struct hv_exit *exit)
{
    for (unsigned i = 0; i < exit->count; i++) {
        uint8_t *data = exit->data + (size_t)i * exit->size;

        if (exit->write)
            bus_write(&core->pio, exit->addr, exit->size, data);
        else
            bus_read(&core->pio, exit->addr, exit->size, data);
    }
}

static void do_mmio(struct core *core, const struct hv_exit *exit)
{
    if (exit->write)
        bus_write(&core->mmio, exit->addr, exit->size, exit->data);
    else
        bus_read(&core->mmio, exit->addr, exit->size, exit->data);
}

/* Returns when the guest may run; whether it stood still before. The last thread to stop tells the
 * control thread. */
static bool wait_turn(struct core_vcpu *vcpu)
{
    struct core *core = vcpu->core;
    bool stood = false;

    pthread_mutex_lock(&core->turn_lock);
    if (core->turns.turn == CORE_HOLD) {
        stood = true;
        if (++core->turns.parked == core->n_vcpus)
            fd_event_signal(core->wake_fd);
        while (core->turns.turn == CORE_HOLD)
            pthread_cond_wait(&core->turn_changed, &core->turn_lock);
        core->turns.parked--;
    }
    hv_vcpu_interrupt(hv_vcpu_at(core->hv, vcpu->index), false);
    pthread_mutex_unlock(&core->turn_lock);
    return stood;
}

/* Nothing to run until another vCPU starts this one, and the hypervisor would say so again at once. */
static void idle_a_little(struct core *core)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += IDLE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&core->turn_lock);
    if (core->turns.turn == CORE_RUN)
        (void)pthread_cond_clockwait(&core->turn_changed, &core->turn_lock, CLOCK_MONOTONIC,
                                     &until);
    pthread_mutex_unlock(&core->turn_lock);
}

static void run_guest(struct core_vcpu *vcpu)
{
    struct core *core = vcpu->core;
    struct hv_vcpu *hv = hv_vcpu_at(core->hv, vcpu->index);
    struct hv_exit exit = { .kind = HV_EXIT_NONE };

    for (;;) {
        switch (exit.kind) {
        case HV_EXIT_PIO:
            do_pio(core, &exit);
            break;
        case HV_EXIT_MMIO:
            do_mmio(core, &exit);
            break;
        case HV_EXIT_TRIPLE_FAULT:
            core_guest_ended(core, BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT, exit.what);
            (void)wait_turn(vcpu);
            break;
        case HV_EXIT_ERROR:
            core_guest_ended(core, BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR, exit.what);
            (void)wait_turn(vcpu);
            break;
        case HV_EXIT_HOST_ERROR:
            core_host_failed(core, exit.what);
            (void)wait_turn(vcpu);
            break;
        case HV_EXIT_IDLE:
            idle_a_little(core);
            break;
        case HV_EXIT_NONE:
            if (wait_turn(vcpu))
                hv_vcpu_was_paused(hv);
            break;
        }
        hv_vcpu_run(hv, &exit);
    }
}

static void *vcpu_main(void *arg)
{
    struct core_vcpu *vcpu = arg;
    struct core *core = vcpu->core;
    char name[16];
    int r;

    snprintf(name, sizeof name, "vcpu%u", vcpu->index);
    prctl(PR_SET_NAME, name);
    vcpu->tid = (pid_t)syscall(SYS_gettid);
    r = sandbox_enter_thread(&sandbox_filter_core_vcpu);
    if (r == 0 && vcpu->index == 0)
        r = hv_vcpu_first_run(hv_vcpu_at(core->hv, 0));

    pthread_mutex_lock(&core->turn_lock);
    core->turns.ready++;
    if (r < 0 && core->turns.failure == 0)
        core->turns.failure = r;
    pthread_cond_broadcast(&core->turn_changed);
    pthread_mutex_unlock(&core->turn_lock);

    (void)wait_turn(vcpu);
    if (vcpu->index == 0) {
        r = hv_vcpu_enter(hv_vcpu_at(core->hv, 0), &core->entry);
        if (r < 0)
            core_host_failed(core, err_text());
    }
    run_guest(vcpu);
    return NULL;
}

uint64_t core_stack_bytes(const struct core *core)
{
    return (uint64_t)core->n_vcpus * STACK_BYTES;
}

/* Not yet behind a filter, whose threads can't change where they run. The kernel takes a set of which only some
 * CPUs are there, or only some are this control group's, for those alone. */
static int start_thread(struct core *core, unsigned index, pthread_attr_t *attr)
{
    struct core_vcpu *vcpu = &core->vcpus[index];
    const cpu_set_t *want = &core->host_cpus[index];
    cpu_set_t is;
    int r;

    *vcpu = (struct core_vcpu){ .core = core, .index = index };
    r = -pthread_create(&vcpu->thread, attr, vcpu_main, vcpu);
    if (r < 0)
        return err_origin(r, "thread of a vCPU");
    if (CPU_COUNT(want) == 0)
        return 0;
    if (pthread_setaffinity_np(vcpu->thread, sizeof *want, want) != 0 ||
        pthread_getaffinity_np(vcpu->thread, sizeof is, &is) != 0 || !CPU_EQUAL(want, &is))
        return err_origin(-EOPNOTSUPP,
                          "vCPU %u can't be pinned to all of the host's CPUs that --cpus affinity= "
                          "gives it: one is not there, or not this control group's",
                          index);
    return 0;
}

int core_start_threads(struct core *core)
{
    struct sigaction action = { .sa_handler = on_kick };
    pthread_attr_t attr;
    int r = 0;

    if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
        return err_origin(-errno, "sigaction");
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (unsigned i = 0; r == 0 && i < core->n_vcpus; i++)
        r = start_thread(core, i, &attr);
    pthread_attr_destroy(&attr);
    if (r < 0)
        return err_trace(r);
    pthread_mutex_lock(&core->turn_lock);
    while (core->turns.ready < core->n_vcpus)
        pthread_cond_wait(&core->turn_changed, &core->turn_lock);
    r = core->turns.failure;
    pthread_mutex_unlock(&core->turn_lock);
    return r < 0 ? err_origin(r, "sandbox of a vCPU thread") : 0;
}

void core_kick(struct core *core)
{
    for (unsigned i = 0; i < core->n_vcpus; i++)
        (void)syscall(SYS_tgkill, core->pid, core->vcpus[i].tid, KICK_SIGNAL);
}

/* A thread that has not got round to leaving the hold before stands still in this one too. When all
 * do, none of them has anything left to signal. */
void core_hold(struct core *core)
{
    pthread_mutex_lock(&core->turn_lock);
    core->turns.turn = CORE_HOLD;
    for (unsigned i = 0; i < core->n_vcpus; i++)
        hv_vcpu_interrupt(hv_vcpu_at(core->hv, i), true);
    if (core->turns.parked == core->n_vcpus)
        fd_event_signal(core->wake_fd);
    pthread_mutex_unlock(&core->turn_lock);
    core_kick(core);
}

void core_resume(struct core *core)
{
    pthread_mutex_lock(&core->turn_lock);
    if (core->turns.end == BULKHEAD__GUEST_STATE_KIND__GUEST_NONE)
        core->turns.turn = CORE_RUN;
    pthread_cond_broadcast(&core->turn_changed);
    pthread_mutex_unlock(&core->turn_lock);
}
