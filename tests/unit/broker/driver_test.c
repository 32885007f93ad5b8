/* SPDX-License-Identifier: Apache-2.0 */
/* driver_test.c - what a driver leaves of itself in a configuration space: nothing, also when no worker is
 * there to see to it. */
#include "script.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { MAC_BYTES = 6, ACTUAL = 4 };

static struct script s;

static void write_config(uint32_t child, struct device *d, uint32_t at, uint8_t *data, size_t len)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    update.slot = child == s.vm.core ? d->plan->pci_slot : 0;
    update.offset = at;
    update.data = (ProtobufCBinaryData){ .len = len, .data = data };
    script_say(&s, child, &e);
}

/* The driver has it through the control queue: the worker says so. */
static struct device *net_with_its_own_address(void)
{
    uint8_t mac[MAC_BYTES] = { 2, 0, 0, 0, 0, 0x77 };
    struct device *d;

    script_run_net(&s, "tap");
    d = script_device(&s, BULKHEAD__ROLE__ROLE_NET);
    script_use(&s, d);
    write_config(d->worker, d, 0, mac, sizeof(mac));
    script_core_hears(&s, B(CONFIG_UPDATE));
    assert_memory_equal(d->config, mac, sizeof(mac));
    return d;
}

static void has_the_hosts_address(const struct device *d)
{
    assert_memory_equal(d->config, s.config->nets[0]->mac.data, MAC_BYTES);
}

static struct device *inflated_balloon(void)
{
    uint8_t actual[] = { 1, 2, 3, 4 };
    struct device *d;

    script_run(&s, 5);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON);
    script_use(&s, d);
    write_config(s.vm.core, d, ACTUAL, actual, sizeof(actual));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(CONFIG_UPDATE));
    assert_memory_equal(d->config + ACTUAL, actual, sizeof(actual));
    return d;
}

static void is_empty(const struct device *d)
{
    static const uint8_t nothing[4];

    assert_memory_equal(d->config + ACTUAL, nothing, sizeof(nothing));
}

static void wear_out(struct device *d)
{
    while (d->stage != STAGE_DEAD) {
        script_exit(&s, d->worker, false);
        if (d->stage == STAGE_DEAD)
            return;
        script_make_ready(&s, d->worker);
        assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
        script_answer(&s, d->worker, B(ACTIVATED));
    }
}

/* The driver reads what it finds as soon as the reset is done. */
static void core_hears_of_both(bool config)
{
    Bulkhead__Envelope__BodyCase body;
    bool heard = false;

    while ((body = script_heard(&s, s.vm.core, NULL)) != B(RESET_DONE)) {
        assert_int_not_equal(body, B(_NOT_SET));
        heard |= body == B(CONFIG_UPDATE);
    }
    assert_int_equal(heard, config);
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET));
}

static void an_address_goes_with_a_failed_device(void **state)
{
    struct device *d = net_with_its_own_address();

    (void)state;
    wear_out(d);
    script_core_hears(&s, B(CONFIG_UPDATE)); /* its link is down */
    script_reset(&s, d);
    core_hears_of_both(true);
    has_the_hosts_address(d);
    script_reset(&s, d);
    core_hears_of_both(false); /* it is the host's already */
    script_end(&s);
}

static void what_a_balloon_had_goes_with_a_failed_device(void **state)
{
    struct device *d = inflated_balloon();

    (void)state;
    wear_out(d);
    script_core_hears(&s, B(NEEDS_RESET));
    script_reset(&s, d);
    core_hears_of_both(true);
    is_empty(d);
    script_end(&s);
}

/* One that resumed what another began never heard what its driver had written. */
static void a_successor_forgets_what_it_never_knew(void **state)
{
    struct device *d = inflated_balloon();

    (void)state;
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_answer(&s, d->worker, B(ACTIVATED));
    script_reset(&s, d);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(RESET));
    script_answer(&s, d->worker, B(RESET_DONE));
    core_hears_of_both(true);
    is_empty(d);
    script_end(&s);
}

/* Nor does the number of a worker's own changes in a tick keep the last of them from being heard in time. */
static void all_is_heard_before_the_reset_is_done(void **state)
{
    enum { CHANGES = 20 };
    struct device *d = net_with_its_own_address();
    uint8_t mac[MAC_BYTES] = { 2 };

    (void)state;
    for (uint8_t i = 1; i <= CHANGES; i++) {
        mac[5] = i;
        write_config(d->worker, d, 0, mac, sizeof(mac));
    }
    while (script_heard(&s, s.vm.core, NULL) != B(_NOT_SET))
        ;
    script_reset(&s, d);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(RESET));
    write_config(d->worker, d, 0, s.config->nets[0]->mac.data, MAC_BYTES);
    script_answer(&s, d->worker, B(RESET_DONE));
    core_hears_of_both(true);
    has_the_hosts_address(d);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_goes_with_a_failed_device),
        cmocka_unit_test(what_a_balloon_had_goes_with_a_failed_device),
        cmocka_unit_test(a_successor_forgets_what_it_never_knew),
        cmocka_unit_test(all_is_heard_before_the_reset_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
