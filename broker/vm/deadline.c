/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.c - see deadline.h. */
#include "vm/deadline.h"

#include "base/compiler.h"
#include "vm/boot.h"
#include "vm/end.h"
#include "vm/hotplug.h"
#include "vm/incoming.h"
#include "vm/link.h"
#include "vm/pause.h"
#include "vm/replace.h"

#define MS UINT64_C(1000000)

enum {
    VACANT_MS = 50,  /* for the news of the core's death */
    DRAIN_MS = 5000, /* for an old build to finish its work */
    ACTIVATE_MS = 5000,
    DIE_MS = 10000, /* from SIGKILL to the end; longer only where the kernel itself hangs */
};

/* How long a worker may be busy with the host's disk at most before it answers. */
static uint64_t patience_ns(const struct vm *vm)
{
    return vm->config->stall_timeout_ms * MS + DRAIN_MS * MS;
}

static uint64_t after(uint64_t since_ns, uint64_t limit_ns)
{
    return since_ns == 0 ? 0 : since_ns + limit_ns;
}

static bool is_worker(const struct child *c)
{
    return c->device != CHILD_NO_DEVICE && c->role != BULKHEAD__ROLE__ROLE_PASST;
}

static bool is_alive(const struct child *c)
{
    return c->killed_ns == 0;
}

/* ---- of a child ---- */

static uint64_t ready_by(const struct vm *vm, const struct child *c)
{
    bool waits = vm->phase == VM_RUNNING && is_worker(c) && is_alive(c) && c->state < CHILD_READY;
    /* One that waits for its predecessor's end is not late. */
    bool queues = is_worker(c) && c->state == CHILD_GREETED &&
                  vm->devices[c->device].candidate == c->id &&
                  device_is_exclusive(&vm->devices[c->device]);

    return waits && !queues ? after(c->started_ns, CHILD_READY_MS * MS) : 0;
}

static void not_ready(struct vm *vm, struct child *c)
{
    child_kill(c, &vm->actions, vm->now, "was not ready within %d s", CHILD_READY_MS / 1000);
}

static uint64_t known_by(const struct vm *vm, const struct child *c)
{
    return is_alive(c) && c->unsure ? after(c->asked_ns, patience_ns(vm)) : 0;
}

static void not_known(struct vm *vm, struct child *c)
{
    child_kill(c, &vm->actions, vm->now, "does not tell a new broker where it stands");
}

static uint64_t left_by(const struct vm *vm, const struct child *c)
{
    (void)vm;
    return is_alive(c) ? c->leave_by_ns : 0;
}

static void not_left(struct vm *vm, struct child *c)
{
    child_kill(c, &vm->actions, vm->now, "did not leave in time");
}

static uint64_t activated_by(const struct vm *vm, const struct child *c)
{
    (void)vm;
    /* It may first wait for its predecessor's ring, which the heartbeat's limits cover. */
    return is_alive(c) && c->old_ring == 0 && c->state != CHILD_ENDED
               ? after(c->debt_ns[DEBT_ACTIVATED], ACTIVATE_MS * MS)
               : 0;
}

static void not_activated(struct vm *vm, struct child *c)
{
    child_kill(c, &vm->actions, vm->now, "did not take over within %d s", ACTIVATE_MS / 1000);
}

static uint64_t reset_by(const struct vm *vm, const struct child *c)
{
    return is_alive(c) && c->state != CHILD_ENDED
               ? after(c->debt_ns[DEBT_RESET_DONE], patience_ns(vm))
               : 0;
}

static void not_reset(struct vm *vm, struct child *c)
{
    child_kill(c, &vm->actions, vm->now, "did not answer a reset");
}

static uint64_t dead_by(const struct vm *vm, const struct child *c)
{
    (void)vm;
    return after(c->killed_ns, DIE_MS * MS);
}

/* Nobody may take its place while the kernel may still work for it. */
static void not_dead(struct vm *vm, struct child *c)
{
    action_log(&vm->actions, true, "%s (pid %d) was killed and does not die", c->name, (int)c->pid);
    if (vm->phase == VM_ENDING) {
        if (vm->end.reboot)
            end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE,
                   "reboot: %s was killed and does not die", c->name);
        incoming_exited(vm, c, false, "");
    } else if (c->id == vm->core) {
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE,
               "the core was killed and does not die");
    } else {
        action_notice(&vm->actions, "device", "does_not_die", "id", c->name, NULL);
        c->killed_ns = vm->now;
    }
}

/* ---- of a device ---- */

static uint64_t vacant_until(const struct vm *vm, const struct device *d)
{
    return vm->phase == VM_RUNNING && d->stage == STAGE_VACANT ? after(d->stage_ns, VACANT_MS * MS)
                                                               : 0;
}

static uint64_t drained_by(const struct vm *vm, const struct device *d)
{
    return vm->phase == VM_RUNNING && d->stage == STAGE_DRAIN ? after(d->stage_ns, DRAIN_MS * MS)
                                                              : 0;
}

static void not_drained(struct vm *vm, struct device *d)
{
    replace_give_up(vm, d, "the old build did not finish its work in time");
}

static uint64_t retried_at(const struct vm *vm, const struct device *d)
{
    return vm->phase == VM_RUNNING && d->stage == STAGE_REPAIR && d->worker == 0 ? d->retry_ns : 0;
}

static bool is_removed(const struct vm *vm, const struct device *d, enum removal how)
{
    return vm->phase == VM_RUNNING && d->removal == how && d->stage != STAGE_LEAVING;
}

static uint64_t ejected_by(const struct vm *vm, const struct device *d)
{
    return is_removed(vm, d, REMOVAL_ASKED) && d->remover.session != 0
               ? after(d->removal_ns, HOTPLUG_EJECT_MS * MS)
               : 0;
}

static uint64_t taken_by(const struct vm *vm, const struct device *d)
{
    return is_removed(vm, d, REMOVAL_FORCED) ? after(d->removal_ns, HOTPLUG_FORCE_MS * MS) : 0;
}

static uint64_t passt_settled_by(const struct vm *vm, const struct device *d)
{
    return d->stage == STAGE_ADD && link_awaits_passt(vm, d)
               ? after(d->stage_ns, CHILD_READY_MS * MS)
               : 0;
}

/* With no worker left nothing keeps the core from it. */
static uint64_t let_go_by(const struct vm *vm, const struct device *d)
{
    return vm->phase == VM_RUNNING && d->stage == STAGE_LEAVING && !d->gone && d->worker == 0
               ? after(d->stage_ns, PAUSE_CORE_MS * MS)
               : 0;
}

static void core_keeps_it(struct vm *vm, struct device *d)
{
    end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE,
           "the core does not let go of %s, which was taken away", d->plan->name);
}

/* ---- of the VM ---- */

static uint64_t booted_by(const struct vm *vm)
{
    return vm->phase == VM_STARTING ? after(vm->boot_ns, BOOT_MS * MS) : 0;
}

static uint64_t paused_by(const struct vm *vm)
{
    return vm->phase == VM_RUNNING && vm->run == GUEST_PAUSING && vm_core_stands(vm)
               ? after(vm->run_ns, patience_ns(vm) + PAUSE_CORE_MS * MS)
               : 0;
}

static void not_paused(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct child *w = vm_worker(vm, &vm->devices[i]);

        if (w && child_owes(w, DEBT_QUIESCED)) { /* it may be told to go on, but would not hear */
            child_kill(w, &vm->actions, vm->now, "did not finish its work");
            pause_give_up(vm, "a device did not finish its work");
            return;
        }
    }
    pause_give_up(vm, "a device is not served");
}

static uint64_t core_answers_by(const struct vm *vm)
{
    bool waits = vm->core_told &&
                 ((vm->run == GUEST_PAUSING && !vm_core_stands(vm)) || vm->run == GUEST_RESUMING);

    /* A pause that was given up before the core answered: it still owes that. */
    waits = waits || (vm->run == GUEST_RESUMING && !vm->core_told && !vm_core_stands(vm));
    return vm->phase == VM_RUNNING && waits ? after(vm->run_ns, PAUSE_CORE_MS * MS) : 0;
}

static void core_is_mute(struct vm *vm)
{
    end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE,
           "the core does not answer a pause or a resume");
}

static const struct {
    uint64_t (*due)(const struct vm *vm, const struct child *child);
    void (*pass)(struct vm *vm, struct child *child);
} of_child[] = {
    { ready_by, not_ready },         { known_by, not_known }, { left_by, not_left },
    { activated_by, not_activated }, { reset_by, not_reset }, { dead_by, not_dead },
};

static const struct {
    uint64_t (*due)(const struct vm *vm, const struct device *device);
    void (*pass)(struct vm *vm, struct device *device);
} of_device[] = {
    { vacant_until, replace_vacancy_ends },
    { drained_by, not_drained },
    { retried_at, replace_try_again },
    { ejected_by, hotplug_asked_in_vain },
    { taken_by, hotplug_wait_no_more },
    { let_go_by, core_keeps_it },
    { passt_settled_by, hotplug_waited_for_passt },
};

static const struct {
    uint64_t (*due)(const struct vm *vm);
    void (*pass)(struct vm *vm);
} of_vm[] = {
    { booted_by, boot_late },
    { paused_by, not_paused },
    { core_answers_by, core_is_mute },
};

static void sooner(uint64_t *at, uint64_t due)
{
    if (due != 0 && (*at == 0 || due < *at))
        *at = due;
}

uint64_t deadline_next(const struct vm *vm)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        for (unsigned r = 0; vm->children[i].id != 0 && r < ARRAY_SIZE(of_child); r++)
            sooner(&at, of_child[r].due(vm, &vm->children[i]));
    for (unsigned i = 0; i < vm->n_devices; i++)
        for (unsigned r = 0; r < ARRAY_SIZE(of_device); r++)
            sooner(&at, of_device[r].due(vm, &vm->devices[i]));
    for (unsigned r = 0; r < ARRAY_SIZE(of_vm); r++)
        sooner(&at, of_vm[r].due(vm));
    return at;
}

static bool is_over(const struct vm *vm, uint64_t due)
{
    return due != 0 && vm->now >= due;
}

bool deadline_pass(struct vm *vm)
{
    bool passed = false;

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        for (unsigned r = 0; vm->children[i].id != 0 && r < ARRAY_SIZE(of_child); r++)
            if (is_over(vm, of_child[r].due(vm, &vm->children[i]))) {
                of_child[r].pass(vm, &vm->children[i]);
                passed = true;
            }
    for (unsigned i = 0; i < vm->n_devices; i++)
        for (unsigned r = 0; r < ARRAY_SIZE(of_device); r++)
            if (is_over(vm, of_device[r].due(vm, &vm->devices[i]))) {
                of_device[r].pass(vm, &vm->devices[i]);
                passed = true;
            }
    for (unsigned r = 0; r < ARRAY_SIZE(of_vm); r++)
        if (is_over(vm, of_vm[r].due(vm))) {
            of_vm[r].pass(vm);
            passed = true;
        }
    return passed;
}
