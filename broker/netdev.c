/* SPDX-License-Identifier: Apache-2.0 */
/* netdev.c - what a network device needs of the broker while it runs: the link that the guest sees, a
 * tap that goes and comes again, and passt, which is replaced when it dies, with a new stream. The old one may have ended in the
 * middle of a frame, so the device's worker is replaced as well; the guest keeps its link. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "devices/backend.h"
#include "devices/net.h"
#include "vm.h"

enum { PASST_POLL_MS = 2 };
enum { STATUS_OFFSET = 6, STATUS_LINK_UP = 1 }; /* struct virtio_net_config */

static bool is_user(const struct device *d)
{
    return d->plan->role == BULKHEAD__ROLE__ROLE_NET &&
           strcmp(d->vm->config->nets[d->plan->index]->mode, "user") == 0;
}

/* ---- the link ---- */

/* A tap's worker finds out about the tap by itself. */
bool netdev_link_wanted(const struct device *d)
{
    return !d->link_down && !d->passt_failed && (d->backend.macvtap == 0 || d->tap == TAP_WELL);
}

static bool guest_sees(const struct device *d)
{
    return d->config_len > STATUS_OFFSET && (d->config[STATUS_OFFSET] & STATUS_LINK_UP);
}

static void tell_guest(struct device *d, bool up)
{
    uint8_t status[2] = { up ? STATUS_LINK_UP : 0, 0 };
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;

    update.offset = STATUS_OFFSET;
    update.data = (ProtobufCBinaryData){ .len = sizeof status, .data = status };
    relay_config_from_worker(d, &update);
}

void netdev_update_link(struct device *d)
{
    Bulkhead__LinkState state = BULKHEAD__LINK_STATE__INIT;
    ENVELOPE(e, LINK_STATE, link_state, &state);
    struct child *w = d->worker;
    bool up;

    if (d->plan->role != BULKHEAD__ROLE__ROLE_NET || !d->announced)
        return;
    state.up = netdev_link_wanted(d);
    if (w && w->state >= CHILD_READY && w->state <= CHILD_QUIESCED)
        child_send(w, &e, NULL, 0);
    /* A worker tells of changes only, and one that took over from a failed one knows of none. */
    up = state.up && !d->dead && d->tap == TAP_WELL;
    if (guest_sees(d) != up)
        tell_guest(d, up);
}

void netdev_on_ready(struct device *d)
{
    if (d->plan->role != BULKHEAD__ROLE__ROLE_NET)
        return;
    if (is_user(d))
        fd_closep(&d->backend.held[1]); /* of the stream before */
    if (d->backend.macvtap == 0)
        d->tap = d->tap_told = TAP_WELL; /* or this one says so too */
    netdev_update_link(d);
}

/* ---- a tap ---- */

enum { TAP_EVENTS_APART_MS = 1000 };

static void tell_of_tap(struct device *d, uint64_t now)
{
    const Bulkhead__NetConfig *n = d->vm->config->nets[d->plan->index];
    const char *tap = n->tap[0] != '\0' ? n->tap : "its interface", *id = d->plan->name;

    if (d->tap == d->tap_told ||
        (d->tap_told_ns != 0 && now < d->tap_told_ns + TAP_EVENTS_APART_MS * 1000000ull))
        return;
    d->tap_told = d->tap;
    d->tap_told_ns = now;
    if (d->tap == TAP_WELL) {
        session_event(d->vm, "device", "link_back", "id", id, NULL);
        log_info("%s: %s carries frames again, the guest's link is up", id, tap);
    } else if (d->tap == TAP_DOWN) {
        session_event(d->vm, "device", "link_lost", "id", id, "why", "interface is down", NULL);
        log_warn("%s: %s is down, and so is the guest's link until it is up again (ip link set)",
                 id, tap);
    } else {
        session_event(d->vm, "device", "link_lost", "id", id, "why", "interface is gone", NULL);
        log_error("%s: %s was deleted, the guest's link is down: %s", id, tap,
                  strcmp(n->mode, "tap") == 0 ? "make it again and `bulkhead repair` the device"
                                              : "start the VM again to have another");
    }
}

void netdev_on_tick(struct device *d, uint64_t now)
{
    if (d->tap != d->tap_told)
        tell_of_tap(d, now);
}

void netdev_set_tap(struct device *d, enum tap_state state)
{
    d->tap = state;
    netdev_update_link(d);
    if (d->vm->phase == VM_RUNNING)
        tell_of_tap(d, now_ns()); /* else with the first tick */
}

static int repair_tap(struct device *d, struct fault *f)
{
    int r = resources_net_attach_again(d->vm->config->nets[d->plan->index], &d->backend, f);

    if (r < 0)
        return r;
    netdev_update_link(d); /* the worker looks, and says LinkFound */
    return 0;
}

/* ---- passt ---- */

/* The old stream's far end stays open until the worker has left, which would call the end of the
 * stream a lost link. */
static int new_stream(struct device *d, struct fault *f)
{
    struct backend *b = &d->backend;
    struct backend fresh;
    int r;

    backend_init(&fresh);
    r = resources_stream(d->plan->name, &fresh, f);
    if (r < 0)
        return r;
    fd_closep(&b->held[1]);
    fd_closep(&b->own[0]);
    b->held[1] = fd_take(&b->held[0]);
    b->held[0] = fresh.held[0];
    b->own[0] = fresh.own[0];
    return 0;
}

int netdev_start_passt(struct device *d, struct fault *f)
{
    int r;

    if (!is_user(d) || d->passt)
        return 0;
    r = new_stream(d, f);
    if (r < 0)
        return r;
    d->passt_settled = false;
    d->passt = child_start_passt(d, f);
    if (!d->passt)
        return -f->error;
    /* If the start fails because of it, its last words are in the one line that says so. */
    log_relay_set_quiet(d->passt->log, d->vm->phase == VM_STARTING);
    return 0;
}

static bool has_ended(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

/* passt gives no sign of being ready, but a system call filter is the last thing it does for that. */
static bool has_filter(const struct child *passt)
{
    cleanup_(fd_closep) int fd = -1;
    char path[32], text[4096];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/status", (int)passt->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <=
        0) /* gone, which is about to be reported; or it can't be asked (hidepid), nor waited for */
        return !has_ended(passt->pidfd);
    text[n] = '\0';
    return strstr(text, "\nSeccomp:\t2") != NULL;
}

static void on_passt_timer(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    vm_progress(arg);
}

bool netdev_passt_settled(struct device *d)
{
    struct vm *vm = d->vm;
    const struct child *passt = d->passt;

    if (!passt || d->passt_settled)
        return true;
    d->passt_settled = (passt->pid != 0 && has_filter(passt)) ||
                       now_ns() - passt->started_ns > VM_READY_TIMEOUT_MS * 1000000ull;
    if (d->passt_settled)
        return true;
    if (!vm->passt_timer && loop_add_timer(vm->loop, on_passt_timer, vm, &vm->passt_timer) < 0)
        return true;
    return loop_timer_arm(vm->passt_timer, PASST_POLL_MS, false) < 0;
}

/* The worker leaves, and its successor gets the stream that is there by then. */
static void replace_worker(struct device *d)
{
    struct child *w;

    upgrade_abort(d, "passt died");
    w = d->worker;
    if (!w || w->killing || w->state == CHILD_STARTED)
        return; /* one that is on its way gets the new stream anyway */
    if (w->state < CHILD_READY) {
        child_kill(w, "passt died: it has the old stream");
        return;
    }
    d->step = STEP_REPLACE;
    d->died_ns = now_ns();
    child_stop(w);
}

static void fail_passt(struct device *d, const char *how)
{
    struct vm *vm = d->vm;

    d->passt_failed = true;
    session_event(vm, "device", "passt_failed", "id", d->plan->name, "why", how, NULL);
    log_error("passt of %s failed: %s. The guest's link is down; `bulkhead repair %s %s` tries "
              "again",
              d->plan->name, how, vm->config->name, d->plan->name);
    netdev_update_link(d);
}

/* The device's own limit holds for passt too, counted by itself. */
static bool too_often(struct device *d)
{
    const Bulkhead__VmConfig *c = d->vm->config;
    uint64_t now = now_ns();

    if (now - d->passt_window_ns >= (uint64_t)c->crash_window_s * 1000000000ull) {
        d->passt_window_ns = now;
        d->passt_deaths = 0;
    }
    return ++d->passt_deaths >= c->crash_limit;
}

void netdev_on_passt_gone(struct device *d, const char *why)
{
    struct vm *vm = d->vm;
    struct fault f;

    d->passt = NULL;
    if (vm->phase == VM_STARTING) {
        fault_input(&f, "%s: passt does not start: %s: correct hostfwd=, or use another network",
                    d->plan->name, why);
        vm_fail(vm, &f);
    }
    if (vm->phase != VM_RUNNING)
        return;
    session_event(vm, "device", "passt_died", "id", d->plan->name, "why", why, NULL);
    if (too_often(d)) {
        fail_passt(d, why);
        return;
    }
    if (netdev_start_passt(d, &f) < 0) {
        fail_passt(d, f.text);
        return;
    }
    replace_worker(d);
}

static int repair_passt(struct device *d, struct fault *f)
{
    int r;

    d->passt_failed = false;
    d->passt_deaths = 0;
    r = netdev_start_passt(d, f);
    if (r < 0) {
        d->passt_failed = true;
        return r;
    }
    replace_worker(d);
    netdev_update_link(d);
    return 0;
}

bool netdev_is_cut_off(const struct device *d)
{
    return (d->passt_failed || d->tap == TAP_GONE) && !d->failed && !d->dead;
}

int netdev_repair(struct device *d, const char **ret_done, struct fault *f)
{
    *ret_done = d->passt_failed ? "passt was started again" : "the interface is used again";
    return d->passt_failed ? repair_passt(d, f) : repair_tap(d, f);
}

void netdev_on_link_lost(struct device *d, bool returns)
{
    if (d->passt) {
        child_kill(d->passt, "its stream is of no more use");
    } else if (!is_user(d)) {
        netdev_set_tap(d, returns ? TAP_DOWN : TAP_GONE);
    }
}

void netdev_on_link_found(struct device *d)
{
    if (d->backend.macvtap == 0)
        netdev_set_tap(d, TAP_WELL);
}
