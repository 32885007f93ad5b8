/* SPDX-License-Identifier: Apache-2.0 */
/* rules_test.c - the table of legal messages: what is allowed, that nothing else is, and that
 * docs/protocol.md names every message. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "ipc/rules.h"
#include "shm/gmem.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

/* An envelope whose body is zeroed memory of the largest body's size: enough for the table. */
static Bulkhead__Envelope blank(Bulkhead__Envelope__BodyCase body, void *storage)
{
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&bulkhead__envelope__descriptor, (unsigned)body);

    protobuf_c_message_init(field->descriptor, storage);
    e.body_case = body;
    e.hello = storage; /* all members of the union are pointers */
    return e;
}

/* Counts the (role, state) pairs in which a child may send this message. */
static unsigned allowed(enum rule_dir dir, Bulkhead__Envelope__BodyCase body, size_t n_fds)
{
    uint64_t storage[64];
    Bulkhead__Envelope e;
    unsigned n = 0;

    if (!protobuf_c_message_descriptor_get_field(&bulkhead__envelope__descriptor, (unsigned)body))
        return 0; /* no message has this number */
    e = blank(body, storage);
    for (int role = BULKHEAD__ROLE__ROLE_BROKER; role <= BULKHEAD__ROLE__ROLE_PASST; role++)
        for (int state = 0; state < CHILD_STATE__MAX; state++)
            n += rules_check(dir, (Bulkhead__Role)role, (enum child_state)state, &e, n_fds) !=
                 -EPROTO;
    return n;
}

static void every_message_has_few_legal_places(void **state)
{
    unsigned total_from = 0, total_to = 0;

    (void)state;
    for (int body = B(HELLO); body <= B(RAM_CHANGED); body++) {
        total_from += allowed(RULE_FROM_CHILD, (Bulkhead__Envelope__BodyCase)body, 0);
        total_to += allowed(RULE_TO_CHILD, (Bulkhead__Envelope__BodyCase)body, 0);
    }
    /* 40 messages x 11 roles x 7 states each way; a rule that is loosened shows here */
    assert_int_equal(total_from, 188);
    assert_int_equal(total_to, 193);
}

static void a_child_can_not_speak_for_the_broker(void **state)
{
    static const Bulkhead__Envelope__BodyCase brokers[] = {
        B(CONFIGURE),       B(ATTACH_DEVICE),  B(DETACH_DEVICE),  B(START),        B(QUIESCE),
        B(UNQUIESCE),       B(PAUSE_VCPUS),    B(RESUME_VCPUS),   B(POWER_BUTTON), B(STOP),
        B(VSOCK_CONNECTED), B(SET_RATE_LIMIT), B(BALLOON_TARGET), B(LINK_STATE),   B(RESYNC),
        B(ADD_REGION),      B(REMOVE_REGION),  B(SET_DIRTY_LOG),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(brokers); i++)
        assert_int_equal(allowed(RULE_FROM_CHILD, brokers[i], 0), 0);
}

static void descriptors_come_only_where_the_table_says(void **state)
{
    (void)state;
    for (int body = B(HELLO); body <= B(RAM_CHANGED); body++) {
        /* A console's client, in each of its three live states. */
        assert_int_equal(allowed(RULE_FROM_CHILD, (Bulkhead__Envelope__BodyCase)body, 1),
                         body == B(CONSOLE_CLIENT) ? 3 : 0);
        assert_int_equal(allowed(RULE_FROM_CHILD, (Bulkhead__Envelope__BodyCase)body, 2), 0);
    }
}

static void wrong_contents_are_bad_messages(void **state)
{
    Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT;
    Bulkhead__QueueState *queues[] = { &queue };
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;

    (void)state;
    e.body_case = B(ACTIVATE);
    e.activate = &activate;
    activate.n_queues = 1;
    activate.queues = queues;
    queue.size = 256;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     0);
    queue.size = 255;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     -EBADMSG);
    queue.size = 256;
    queue.index = RULE_MAX_QUEUES;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     -EBADMSG);
    queue.index = 0;
    activate.slot = 32;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     -EBADMSG);
}

static int check_core(enum rule_dir dir, enum child_state s, const Bulkhead__Envelope *e)
{
    return rules_check(dir, BULKHEAD__ROLE__ROLE_CORE, s, e, 0);
}

static void devices_come_and_go_while_the_guest_runs(void **state)
{
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__AttachDevice attach = BULKHEAD__ATTACH_DEVICE__INIT;
    Bulkhead__DetachDevice detach = BULKHEAD__DETACH_DEVICE__INIT;
    Bulkhead__DeviceGone gone = BULKHEAD__DEVICE_GONE__INIT;
    Bulkhead__Envelope in = BULKHEAD__ENVELOPE__INIT, out = in, back = in;

    (void)state;
    announce.virtio_id = 4;
    announce.queue_size = 8;
    attach.announce = &announce;
    in.body_case = B(ATTACH_DEVICE);
    in.attach_device = &attach;
    out.body_case = B(DETACH_DEVICE);
    out.detach_device = &detach;
    back.body_case = B(DEVICE_GONE);
    back.device_gone = &gone;
    attach.slot = detach.slot = gone.slot = 31;
    for (int s = 0; s < CHILD_STATE__MAX; s++) {
        bool runs = s == CHILD_RUNNING || s == CHILD_QUIESCED;

        assert_int_equal(check_core(RULE_TO_CHILD, (enum child_state)s, &in),
                         runs || s == CHILD_READY ? 0 : -EPROTO);
        assert_int_equal(check_core(RULE_TO_CHILD, (enum child_state)s, &out), runs ? 0 : -EPROTO);
        assert_int_equal(check_core(RULE_FROM_CHILD, (enum child_state)s, &back),
                         runs ? 0 : -EPROTO);
    }
    for (unsigned slot = 0; slot <= 32; slot += 32) { /* the bridge's, and one that isn't there */
        attach.slot = detach.slot = gone.slot = slot;
        assert_int_equal(check_core(RULE_TO_CHILD, CHILD_RUNNING, &in), -EBADMSG);
        assert_int_equal(check_core(RULE_TO_CHILD, CHILD_RUNNING, &out), -EBADMSG);
        assert_int_equal(check_core(RULE_FROM_CHILD, CHILD_RUNNING, &back), -EBADMSG);
    }
}

static int check_regions(const uint32_t memfds[3], uint64_t ram_size, size_t n_fds)
{
    Bulkhead__Configure c = BULKHEAD__CONFIGURE__INIT;
    Bulkhead__MemoryRegion regions[GMEM_MAX_REGIONS + 1], *list[GMEM_MAX_REGIONS + 1];
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;

    for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
        list[i] = &regions[i];
        bulkhead__memory_region__init(list[i]);
        regions[i].size = 0x1000;
        regions[i].memfd = memfds && i < 3 ? memfds[i] : 0;
    }
    c.regions = list;
    c.n_regions = memfds ? 3 : ARRAY_SIZE(list);
    c.ram_size = ram_size;
    e.body_case = B(CONFIGURE);
    e.configure = &c;
    return rules_check(RULE_TO_CHILD, BULKHEAD__ROLE__ROLE_RNG, CHILD_GREETED, &e, n_fds);
}

static void a_list_of_regions_is_checked(void **state)
{
    (void)state;
    assert_int_equal(check_regions((const uint32_t[]){ 0, 0, 1 }, 0x3000, 2), 0);
    assert_int_equal(check_regions((const uint32_t[]){ 0, 0, 0 }, 0x3000, 1), 0);
    assert_int_equal(check_regions((const uint32_t[]){ 0, 0, 1 }, 0x4000, 2), -EBADMSG);
    assert_int_equal(check_regions((const uint32_t[]){ 0, 0, 1 }, 0x3000, 1), -EBADMSG);
    assert_int_equal(check_regions((const uint32_t[]){ 0, 0, 2 }, 0x3000, 3), -EBADMSG);
    assert_int_equal(check_regions((const uint32_t[]){ 0, 0, UINT32_MAX }, 0x3000, 3), -EBADMSG);
    assert_int_equal(check_regions(NULL, (GMEM_MAX_REGIONS + 1) * 0x1000, 1), -EBADMSG);
}

static int check_add(size_t n_fds, bool with)
{
    Bulkhead__MemoryRegion region = BULKHEAD__MEMORY_REGION__INIT;
    Bulkhead__AddRegion add = BULKHEAD__ADD_REGION__INIT;
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;

    add.region = with ? &region : NULL;
    e.body_case = B(ADD_REGION);
    e.add_region = &add;
    return rules_check(RULE_TO_CHILD, BULKHEAD__ROLE__ROLE_NET, CHILD_RUNNING, &e, n_fds);
}

static void a_region_to_add_is_checked(void **state)
{
    (void)state;
    assert_int_equal(check_add(1, true), 0);
    assert_int_equal(check_add(1, false), -EBADMSG);
    assert_int_equal(check_add(0, true), -EPROTO);
    assert_int_equal(check_add(2, true), -EPROTO);
}

static void states_follow_a_life(void **state)
{
    uint64_t storage[64];
    Bulkhead__Envelope e;
    enum child_state s = CHILD_STARTED;

    (void)state;
    e = blank(B(HELLO), storage);
    s = rules_next(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_BLK, s, &e);
    assert_int_equal(s, CHILD_GREETED);
    e = blank(B(CONFIGURE), storage);
    s = rules_next(RULE_TO_CHILD, BULKHEAD__ROLE__ROLE_BLK, s, &e);
    assert_int_equal(s, CHILD_CONFIGURED);
    e = blank(B(READY), storage);
    s = rules_next(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_BLK, s, &e);
    assert_int_equal(s, CHILD_READY);
    e = blank(B(ACTIVATE), storage);
    s = rules_next(RULE_TO_CHILD, BULKHEAD__ROLE__ROLE_BLK, s, &e);
    assert_int_equal(s, CHILD_RUNNING);
    e = blank(B(RESET_DONE), storage);
    s = rules_next(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_BLK, s, &e);
    assert_int_equal(s, CHILD_READY);
}

static int check_worker(const Bulkhead__Snapshot *snapshot)
{
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;

    e.body_case = B(SNAPSHOT);
    e.snapshot = (Bulkhead__Snapshot *)(uintptr_t)snapshot;
    return rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_BLK, CHILD_QUIESCED, &e, 0);
}

static void a_snapshot_must_not_contradict_itself(void **state)
{
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__GuestState end = BULKHEAD__GUEST_STATE__INIT;
    Bulkhead__Snapshot s = BULKHEAD__SNAPSHOT__INIT;

    (void)state;
    assert_int_equal(check_worker(&s), -EBADMSG); /* no epoch, no state */
    s.epoch = 2;
    s.state = BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY;
    assert_int_equal(check_worker(&s), 0);
    s.owes_reset = true;
    assert_int_equal(check_worker(&s), -EBADMSG);
    s.owes_reset = false;
    s.activate = &activate;
    assert_int_equal(check_worker(&s), -EBADMSG);
    s.state = BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING;
    s.owes_reset = s.owes_quiesce = s.needs_reset = true;
    assert_int_equal(check_worker(&s), 0);
    s.end = &end;
    assert_int_equal(check_worker(&s), -EBADMSG);
    s.end = NULL;
    s.activate = NULL;
    assert_int_equal(check_worker(&s), -EBADMSG);
    s.state = (Bulkhead__SnapshotState)4;
    assert_int_equal(check_worker(&s), -EBADMSG);
}

static void a_snapshot_of_the_core_must_not_contradict_itself(void **state)
{
    Bulkhead__GuestState end = BULKHEAD__GUEST_STATE__INIT;
    Bulkhead__Snapshot s = BULKHEAD__SNAPSHOT__INIT;
    Bulkhead__DeviceSnapshot d = BULKHEAD__DEVICE_SNAPSHOT__INIT;
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;

    (void)state;
    e.body_case = B(SNAPSHOT);
    e.snapshot = &s;
    s.epoch = 1;
    s.state = BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED;
    s.end = &end;
    end.state = BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     -EBADMSG);
    end.state = BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     0);
    e.body_case = B(DEVICE_SNAPSHOT);
    e.device_snapshot = &d;
    d.epoch = 1;
    d.slot = 31;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     0);
    d.resetting = true;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     -EBADMSG);
    d.active = true;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     0);
    d.slot = 32;
    assert_int_equal(rules_check(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_CORE, CHILD_RUNNING, &e, 0),
                     -EBADMSG);
}

/* Whatever was believed before. */
static void a_snapshot_says_the_state(void **state)
{
    static const struct {
        Bulkhead__SnapshotState says;
        enum child_state then;
    } cases[] = {
        { BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY, CHILD_READY },
        { BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING, CHILD_RUNNING },
        { BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED, CHILD_QUIESCED },
    };
    Bulkhead__Snapshot s = BULKHEAD__SNAPSHOT__INIT;
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;

    (void)state;
    e.body_case = B(SNAPSHOT);
    e.snapshot = &s;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        s.state = cases[i].says;
        for (int before = CHILD_READY; before <= CHILD_QUIESCED; before++)
            assert_int_equal(
                rules_next(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_NET, (enum child_state)before, &e),
                cases[i].then);
    }
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = calloc(1, 1 << 20);

    if (!f)
        fail_msg("%s is missing", path);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void check_documented(const char *text, const ProtobufCMessageDescriptor *envelope)
{
    for (unsigned i = 0; i < envelope->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &envelope->fields[i];
        char row[80];

        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        snprintf(row, sizeof row, "| `%s` |",
                 ((const ProtobufCMessageDescriptor *)field->descriptor)->short_name);
        if (!strstr(text, row))
            fail_msg("docs/protocol.md has no row for %s", row);
    }
}

static void every_message_is_documented(void **state)
{
    char *text = slurp(PROTOCOL_MD);

    (void)state;
    check_documented(text, &bulkhead__envelope__descriptor);
    check_documented(text, &bulkhead__client_envelope__descriptor);
    free(text);
}

/* Of all others the broker takes none: closing one may hold it up. */
static void only_a_console_may_bring_descriptors(void **state)
{
    (void)state;
    for (int role = 0; role <= BULKHEAD__ROLE__ROLE_GATEWAY; role++)
        assert_int_equal(rules_may_bring_fds((Bulkhead__Role)role),
                         role == BULKHEAD__ROLE__ROLE_CONSOLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_few_legal_places),
        cmocka_unit_test(a_child_can_not_speak_for_the_broker),
        cmocka_unit_test(descriptors_come_only_where_the_table_says),
        cmocka_unit_test(only_a_console_may_bring_descriptors),
        cmocka_unit_test(wrong_contents_are_bad_messages),
        cmocka_unit_test(devices_come_and_go_while_the_guest_runs),
        cmocka_unit_test(a_list_of_regions_is_checked),
        cmocka_unit_test(a_region_to_add_is_checked),
        cmocka_unit_test(states_follow_a_life),
        cmocka_unit_test(a_snapshot_must_not_contradict_itself),
        cmocka_unit_test(a_snapshot_of_the_core_must_not_contradict_itself),
        cmocka_unit_test(a_snapshot_says_the_state),
        cmocka_unit_test(every_message_is_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
