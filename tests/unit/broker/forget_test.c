/* SPDX-License-Identifier: Apache-2.0 */
/* forget_test.c - what the spawner keeps for another broker, until the VM's devices are not those of its start any
 * more. What is kept is a pipe's write end: it shows when that is closed. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "plan/plan.h"
#include "spawner/cgroups.h"
#include "spawner/keep.h"
#include "spawner/spawner.h"
#include "spawner/uids.h"

enum { CLOSED_MS = 10000, KEPT_MS = 200, SLOT_DISK = PLAN_UID_FIRST_DEVICE, SLOT_MORE };

static void send(struct spawner *spawner, const struct spawner_request *request, int fd)
{
    assert_int_equal(spawner_send(spawner, request, &fd, fd >= 0 ? 1 : 0), 0);
}

static void tell_slot(struct spawner *spawner, uint32_t slot, Bulkhead__Role role)
{
    struct spawner_request request = { .kind = SPAWNER_SLOT,
                                       .slot = slot,
                                       .setup = { .role = role, .pids_max = 8 } };

    snprintf(request.setup.name, sizeof request.setup.name, "slot%u", slot);
    send(spawner, &request, -1);
}

static void start(struct spawner *spawner)
{
    static struct groups none = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    static struct uids no_uids = { .file_fd = -1, .ns_fd = -1 };
    const struct spawner_terms terms = { .groups = &none, .uids = &no_uids, .broker_pidfd = -1 };
    const struct spawner_request seal = { .kind = SPAWNER_SEAL, .limit = 5, .window_s = 60 };

    assert_int_equal(spawner_start(spawner, -1, &terms), 0);
    tell_slot(spawner, PLAN_UID_CORE, BULKHEAD__ROLE__ROLE_CORE);
    tell_slot(spawner, SLOT_DISK, BULKHEAD__ROLE__ROLE_BLK);
    send(spawner, &seal, -1);
}

/* The pipe's read end. */
static int keep(struct spawner *spawner, unsigned place)
{
    const struct spawner_request deposit = { .kind = SPAWNER_DEPOSIT, .id = place };
    int pair[2];

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    send(spawner, &deposit, pair[1]);
    close(pair[1]);
    return pair[0];
}

static bool is_closed(int fd, int within_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, within_ms) == 1;
}

static void expect_forgotten(const struct spawner_request *request)
{
    struct spawner spawner;
    int early, late;

    start(&spawner);
    early = keep(&spawner, KEEP_KVM);
    assert_false(is_closed(early, KEPT_MS));
    send(&spawner, request, -1);
    assert_true(is_closed(early, CLOSED_MS));
    late = keep(&spawner, keep_of(3, KEEP_OWN)); /* nor is anything kept after that */
    assert_true(is_closed(late, CLOSED_MS));
    close(early);
    close(late);
    spawner_stop(&spawner);
}

static void who_asks_for_it(void **state)
{
    (void)state;
    expect_forgotten(&(struct spawner_request){ .kind = SPAWNER_FORGET });
}

static void a_slot_more(void **state)
{
    struct spawner_request more = {
        .kind = SPAWNER_SLOT,
        .slot = SLOT_MORE,
        .setup = { .role = BULKHEAD__ROLE__ROLE_BLK, .pids_max = 8, .name = "more" }
    };

    (void)state;
    expect_forgotten(&more);
}

static void a_slot_less(void **state)
{
    (void)state;
    expect_forgotten(&(struct spawner_request){ .kind = SPAWNER_FREE, .slot = SLOT_DISK });
}

static void what_is_refused_changes_nothing(void **state)
{
    struct spawner spawner;
    int kept;

    (void)state;
    start(&spawner);
    kept = keep(&spawner, KEEP_KVM);
    tell_slot(&spawner, SLOT_DISK, BULKHEAD__ROLE__ROLE_BLK);
    tell_slot(&spawner, PLAN_UID_PASST, BULKHEAD__ROLE__ROLE_PASST);
    send(&spawner, &(struct spawner_request){ .kind = SPAWNER_FREE, .slot = PLAN_UID_CORE }, -1);
    assert_false(is_closed(kept, KEPT_MS));
    close(kept);
    spawner_stop(&spawner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_for_it),
        cmocka_unit_test(a_slot_more),
        cmocka_unit_test(a_slot_less),
        cmocka_unit_test(what_is_refused_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
