/* SPDX-License-Identifier: Apache-2.0 */
/* slots_test.c - the table of what the spawner may start takes nothing odd, and nothing once it is
 * sealed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "client.pb-c.h"
#include "config/config.h"
#include "plan/plan.h"
#include "sandbox/ring.h"
#include "spawner/exec.h"
#include "spawner/slots.h"

static struct spawner_slot good(Bulkhead__Role role)
{
    struct spawner_slot slot = { .role = role, .pids_max = 8, .name = "name" };

    return slot;
}

static int set(uint32_t number, const struct spawner_slot *slot)
{
    static struct slots slots;

    memset(&slots, 0, sizeof slots);
    return slots_set(&slots, number, slot);
}

static void test_roles_have_their_places(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < SPAWNER_MAX_SLOTS + 2; number++)
        for (int role = -1; role < 20; role++) {
            struct spawner_slot slot = good((Bulkhead__Role)role);
            bool device = role >= BULKHEAD__ROLE__ROLE_BLK && role <= BULKHEAD__ROLE__ROLE_BALLOON;
            bool fits = number == PLAN_UID_CORE     ? role == BULKHEAD__ROLE__ROLE_CORE
                        : number == PLAN_UID_LOADER ? role == BULKHEAD__ROLE__ROLE_LOADER
                        : number >= PLAN_UID_PASST  ? role == BULKHEAD__ROLE__ROLE_PASST
                                                    : device && number < 34;

            if (number >= SPAWNER_MAX_SLOTS)
                fits = false;
            assert_int_equal(set(number, &slot), fits ? 0 : -EINVAL);
        }
}

static void test_names(void **state)
{
    static const char *const bad[] = {
        "",    ".",        "..",   ".hidden",  "a/b",          "/a",         "../x",       "a b",
        "a\n", "cgroup\t", "\x80", "cpu.stat", "cgroup.procs", "memory.max", "cgroup.kill"
    };
    static struct slots slots;
    struct spawner_slot slot = good(BULKHEAD__ROLE__ROLE_RNG);

    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(slot.name, 0, sizeof slot.name);
        strcpy(slot.name, bad[i]);
        assert_int_equal(set(5, &slot), -EINVAL);
    }
    strcpy(slot.name, "memory-disk.1"); /* a dot alone is not the kernel's */
    assert_int_equal(set(5, &slot), 0);
    memset(slot.name, 'a', sizeof slot.name); /* without an end */
    assert_int_equal(set(5, &slot), -EINVAL);
    slot.name[sizeof slot.name - 1] = '\0';
    assert_int_equal(set(5, &slot), 0);
    /* Two slots in one cgroup would share its limits. */
    assert_int_equal(slots_set(&slots, 5, &slot), 0);
    assert_int_equal(slots_set(&slots, 6, &slot), -EINVAL);
}

static void test_limits_rings_ports(void **state)
{
    struct spawner_slot slot = good(BULKHEAD__ROLE__ROLE_RNG);

    (void)state;
    slot.pids_max = 0;
    assert_int_equal(set(5, &slot), -EINVAL);
    slot.pids_max = SPAWNER_MAX_PIDS + 1;
    assert_int_equal(set(5, &slot), -EINVAL);
    slot = good(BULKHEAD__ROLE__ROLE_RNG);
    slot.ring = RING_DISK;
    assert_int_equal(set(5, &slot), -EINVAL);
    slot.role = BULKHEAD__ROLE__ROLE_NET;
    assert_int_equal(set(5, &slot), -EINVAL);
    slot.ring = RING_FRAMES;
    assert_int_equal(set(5, &slot), 0);
    slot.ring = RING_FRAMES + 1;
    assert_int_equal(set(5, &slot), -EINVAL);
    slot = good(BULKHEAD__ROLE__ROLE_RNG);
    slot.forwards[0] = (struct spawner_forward){ .host_port = 80, .guest_port = 80 };
    slot.n_forwards = 1;
    assert_int_equal(set(5, &slot), -EINVAL);
    slot.role = BULKHEAD__ROLE__ROLE_PASST;
    assert_int_equal(set(56, &slot), 0);
    slot.forwards[0].host_port = 0;
    assert_int_equal(set(56, &slot), -EINVAL);
    slot.n_forwards = SPAWNER_MAX_FORWARDS + 1;
    assert_int_equal(set(56, &slot), -EINVAL);
}

/* As many as a configuration may have (validate_test.c), each as long as it can be. */
static void test_as_many_ports_as_there_may_be(void **state)
{
    static const unsigned numbers[] = { 14, 64 };
    struct spawner_slot slot = good(BULKHEAD__ROLE__ROLE_PASST);
    struct exec_order order = { .slot = &slot };

    (void)state;
    assert_int_equal(SPAWNER_MAX_FORWARDS, CONFIG_MAX_FORWARDS);
    slot.mtu = 65535;
    for (unsigned i = 0; i < SPAWNER_MAX_FORWARDS; i++)
        slot.forwards[i] = (struct spawner_forward){ .host_port = (uint16_t)(65535 - i),
                                                     .guest_port = 65535,
                                                     .udp = i % 2,
                                                     .has_address = 1,
                                                     .address = 0xfffffffe };
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        char **argv;
        unsigned n = 0;

        slot.n_forwards = numbers[i];
        assert_int_equal(set(56, &slot), 0);
        for (argv = exec_arguments(&order); *argv; argv++)
            n += strcmp(*argv, "-t") == 0 || strcmp(*argv, "-u") == 0;
        assert_int_equal(n, numbers[i]);
    }
    slot.n_forwards = 65;
    assert_int_equal(set(56, &slot), -EINVAL);
    assert_non_null(strstr(err_text(), "slot 56 can't have that list of ports"));
}

/* passt tells the guest of an MTU itself (DHCP, NDP): of the one that was asked for. */
static void test_passt_is_told_the_mtu(void **state)
{
    struct spawner_slot slot = good(BULKHEAD__ROLE__ROLE_PASST);
    struct exec_order order = { .slot = &slot };
    char **argv;
    unsigned i = 0;

    (void)state;
    for (argv = exec_arguments(&order); argv[i]; i++)
        assert_string_not_equal(argv[i], "--mtu");
    slot.mtu = 1400;
    assert_int_equal(set(56, &slot), 0);
    argv = exec_arguments(&order);
    for (i = 0; argv[i] && strcmp(argv[i], "--mtu") != 0; i++)
        ;
    assert_non_null(argv[i]);
    assert_string_equal(argv[i + 1], "1400");

    slot.mtu = 67;
    assert_int_equal(set(56, &slot), -EINVAL);
    slot.mtu = 65536;
    assert_int_equal(set(56, &slot), -EINVAL);
    slot = good(BULKHEAD__ROLE__ROLE_RNG);
    slot.mtu = 1400;
    assert_int_equal(set(5, &slot), -EINVAL);
}

static void test_the_seal(void **state)
{
    static struct slots slots;
    struct spawner_slot slot = good(BULKHEAD__ROLE__ROLE_RNG);

    (void)state;
    assert_int_equal(slots_set(&slots, 5, &slot), 0);
    assert_null(slots_find(&slots, 5));
    slot.name[0] = 'x';
    assert_int_equal(slots_set(&slots, 5, &slot), -EINVAL); /* once is enough */
    slots.sealed = true;
    assert_non_null(slots_find(&slots, 5));
    assert_null(slots_find(&slots, 6));
    assert_null(slots_find(&slots, SPAWNER_MAX_SLOTS));
    assert_null(slots_find(&slots, UINT32_MAX));
    assert_int_equal(slots_set(&slots, 6, &slot), -EPERM);
    assert_int_equal(slots_check_uid(&slots, 5, PLAN_UID_BROKER - 1), 0);
    assert_int_equal(slots_check_uid(&slots, 5, PLAN_UID_BROKER), -EPERM);
    assert_int_equal(slots_check_uid(&slots, 5, PLAN_UID_PASST), -EPERM);
}

/* What a broker may add that was taken over: a worker's slot, with the limits that it would have had. */
static void test_after_the_seal(void **state)
{
    static struct slots slots;
    struct spawner_slot core = good(BULKHEAD__ROLE__ROLE_CORE),
                        slot = good(BULKHEAD__ROLE__ROLE_RNG);

    (void)state;
    memset(&slots, 0, sizeof slots);
    core.memory_max = 1 << 20;
    strcpy(core.name, "core");
    assert_int_equal(slots_set(&slots, PLAN_UID_CORE, &core), 0);
    assert_int_equal(slots_add(&slots, 5, &slot, false), -EPERM);
    slots.sealed = true;
    slot.memory_max = 0;
    slot.pids_max = SPAWNER_MAX_PIDS;
    assert_int_equal(slots_add(&slots, 5, &slot, false), 0);
    assert_int_equal(slots.of[5].memory_high, 1 << 20);
    assert_true(slots.of[5].memory_max > 1 << 20);
    assert_int_equal(slots.of[5].pids_max, PLAN_SPARE_THREADS);
    assert_int_equal(slots_add(&slots, 5, &slot, false), -EINVAL); /* it is taken */
    assert_int_equal(slots_add(&slots, 6, &slot, false), -EINVAL); /* and so is the name */
    assert_int_equal(slots_free(&slots, 5), 0);
    assert_int_equal(slots_free(&slots, 5), -EPERM);
    assert_null(slots_find(&slots, 5));
    slot.role = BULKHEAD__ROLE__ROLE_BLK;
    slot.ring = RING_DISK;
    assert_int_equal(slots_add(&slots, 5, &slot, false), 0);
    assert_int_equal(slots.of[5].memory_max, 0); /* its image may be memory */
    assert_int_equal(slots.of[5].pids_max, PLAN_SPARE_THREADS + PLAN_IO_THREADS);
    assert_int_equal(slots_free(&slots, PLAN_UID_CORE), -EPERM);
    assert_int_equal(slots_free(&slots, PLAN_UID_LOADER), -EPERM);
    assert_int_equal(slots_free(&slots, SPAWNER_MAX_SLOTS), -EPERM);
    slot.role = BULKHEAD__ROLE__ROLE_PASST;
    slot.ring = RING_NONE;
    strcpy(slot.name, "passt");
    assert_int_equal(slots_add(&slots, PLAN_UID_PASST, &slot, false), -EPERM);
    slot.role = BULKHEAD__ROLE__ROLE_LOADER;
    assert_int_equal(slots_add(&slots, PLAN_UID_LOADER, &slot, false), -EPERM);
    slot.role = BULKHEAD__ROLE__ROLE_NET;
    assert_int_equal(slots_add(&slots, PLAN_UID_FIRST_DEVICE + PLAN_MAX_DEVICES, &slot, false),
                     -EINVAL);
}

/* passt, if its user has asked for it: in its own places, with limits that are not the broker's to choose. */
static void test_passt_after_the_seal(void **state)
{
    static struct slots slots;
    struct spawner_slot core = good(BULKHEAD__ROLE__ROLE_CORE),
                        slot = good(BULKHEAD__ROLE__ROLE_PASST);

    (void)state;
    memset(&slots, 0, sizeof slots);
    core.memory_max = 1 << 20;
    strcpy(core.name, "core");
    assert_int_equal(slots_set(&slots, PLAN_UID_CORE, &core), 0);
    assert_int_equal(slots_add(&slots, PLAN_UID_PASST, &slot, true), -EPERM);
    slots.sealed = true;
    slot.pids_max = SPAWNER_MAX_PIDS;
    assert_int_equal(slots_add(&slots, 5, &slot, true), -EINVAL);
    assert_int_equal(slots_add(&slots, PLAN_UID_PASST - 1, &slot, true), -EINVAL);
    assert_int_equal(slots_add(&slots, PLAN_UID_PASST, &slot, true), 0);
    assert_int_equal(slots.of[PLAN_UID_PASST].memory_high, 0);
    assert_int_equal(slots.of[PLAN_UID_PASST].memory_max, 1 << 20);
    assert_int_equal(slots.of[PLAN_UID_PASST].pids_max, PLAN_SPARE_THREADS);
    assert_int_equal(slots_check_uid(&slots, PLAN_UID_PASST, PLAN_UID_PASST), 0);
    assert_int_equal(slots_free(&slots, PLAN_UID_PASST), 0);
    assert_null(slots_find(&slots, PLAN_UID_PASST));
    slot.role = BULKHEAD__ROLE__ROLE_LOADER; /* and nothing else, whatever a user wants */
    assert_int_equal(slots_add(&slots, PLAN_UID_LOADER, &slot, true), -EPERM);
}

/* Who starts in an empty slot is told why it is empty. */
static void test_the_reason(void **state)
{
    static struct slots slots = { .sealed = true };
    struct spawner_slot slot = good(BULKHEAD__ROLE__ROLE_PASST);

    (void)state;
    assert_null(slots_why(&slots, 0));
    assert_int_equal(slots_add(&slots, PLAN_UID_PASST, &slot, false), -EPERM);
    slots_refuse(&slots, PLAN_UID_PASST);
    assert_non_null(strstr(slots_why(&slots, PLAN_UID_PASST), "after the seal"));
    assert_null(slots_why(&slots, PLAN_UID_PASST + 1));
    assert_int_equal(slots_add(&slots, PLAN_UID_PASST, &slot, true), 0);
    assert_null(slots_why(&slots, PLAN_UID_PASST));
    slots_refuse(&slots, UINT32_MAX);
    assert_null(slots_why(&slots, UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles_have_their_places),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_limits_rings_ports),
        cmocka_unit_test(test_as_many_ports_as_there_may_be),
        cmocka_unit_test(test_passt_is_told_the_mtu),
        cmocka_unit_test(test_the_seal),
        cmocka_unit_test(test_after_the_seal),
        cmocka_unit_test(test_passt_after_the_seal),
        cmocka_unit_test(test_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
