/* SPDX-License-Identifier: Apache-2.0 */
/* shape_test.c - which devices a VM has by now, written down and read by a broker that knows those of its start: all of
 * it comes back, and what a broker that was taken over may have written is refused or harms nothing. */
#include <stdlib.h>
#include <string.h>
#include "config/merge.h"
#include "fixture.h"
#include "keep.pb-c.h"
#include "run/shape.h"

#define ROLE(name) BULKHEAD__ROLE__ROLE_##name

static uint8_t bytes[SHAPE_MAX_BYTES];
static struct instance first, second; /* large */

static Bulkhead__VmConfig *config_of_start(void)
{
    Bulkhead__VmConfig *c = fixture_config();

    c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    return c;
}

/* disk0, disk1, net0, rng, serial. */
static void begin(struct instance *in)
{
    memset(in, 0, sizeof *in);
    instance_init(in, NULL, NULL);
    instance_plan(in, config_of_start());
    while (in->n_ends < in->plan.n_devices)
        instance_add_ends(in);
    in->ends[1].backend.size_bytes = 1111;
}

static void end(struct instance *in)
{
    for (unsigned i = 0; i < in->n_ends; i++)
        backend_deinit(&in->ends[i].backend);
    vm_deinit(&in->vm);
    config_free(in->config);
}

static void add(struct instance *in, Bulkhead__VmConfig *device, struct backend *b)
{
    Bulkhead__Role role;
    unsigned index;
    struct fault f;
    int number;

    assert_int_equal(config_add(in->config, device, &role, &index, &f), 0);
    assert_int_equal(config_fill(in->config, "vm"), 0);
    number = plan_add(&in->plan, in->config, role, index);
    assert_true(number >= 0);
    vm_take_place(&in->vm, (unsigned)number);
    instance_begin_device(in, (unsigned)number, b);
}

/* Without disk0, with another disk in its place, a tap, a balloon, and a user network. */
static void change(struct instance *in)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT, *disk, *net, *balloon;
    struct backend b;

    plan_remove(&in->plan, 0);
    config_remove(in->config, ROLE(BLK), 0);
    disk = config_copy(&empty);
    fixture_add_disk(disk, "/new");
    backend_init(&b);
    b.n_own = 1;
    b.size_bytes = 1 << 20;
    b.block_size = 4096;
    b.discard = true;
    add(in, disk, &b);
    net = config_copy(&empty);
    fixture_add_net(net, "tap");
    backend_init(&b);
    b.n_own = 1;
    snprintf(b.made_tap, sizeof b.made_tap, "bh7");
    add(in, net, &b);
    balloon = config_copy(&empty);
    balloon->balloon = calloc(1, sizeof *balloon->balloon);
    bulkhead__balloon_config__init(balloon->balloon);
    balloon->balloon->enabled = true;
    backend_init(&b);
    add(in, balloon, &b);
    net = config_copy(&empty);
    fixture_add_net(net, "user");
    backend_init(&b);
    b.n_own = 1;
    add(in, net, &b);
}

/* An interface of nobody's: there is nothing to wait for. */
static void forget_tap(struct instance *in)
{
    for (unsigned i = 0; i < in->n_ends; i++)
        in->ends[i].backend.made_tap[0] = '\0';
}

static void all_comes_back(void **state)
{
    size_t len;

    (void)state;
    begin(&first);
    change(&first);
    len = shape_store(&first, bytes);
    assert_true(len > 0);
    begin(&second);
    assert_int_equal(shape_load(&second, bytes, len), 0);
    assert_int_equal(second.plan.n_devices, first.plan.n_devices);
    assert_memory_equal(&second.plan, &first.plan, sizeof first.plan);
    assert_string_equal(second.config->disks[second.plan.devices[0].index]->path, "/new");
    assert_string_equal(second.config->disks[second.plan.devices[1].index]->path, "/d1.raw");
    assert_string_equal(second.config->kernel, "/boot/vmlinuz");
    assert_int_equal(second.ends[0].backend.size_bytes, 1 << 20);
    assert_true(second.ends[0].was_added && second.ends[0].backend.discard);
    assert_int_equal(second.ends[0].backend.n_own, 1);
    assert_int_equal(second.ends[0].backend.own[0], -1);
    assert_false(second.ends[1].was_added);
    assert_int_equal(second.ends[1].backend.size_bytes, 1111); /* as it was sealed */
    assert_int_equal(second.vm.n_devices, first.plan.n_devices);
    /* And once more, as the broker after that would. */
    assert_int_equal(shape_store(&second, bytes), len);
    forget_tap(&first);
    forget_tap(&second);
    end(&first);
    end(&second);
}

static void a_free_place_stays(void **state)
{
    size_t len;

    (void)state;
    begin(&first);
    plan_remove(&first.plan, 1);
    config_remove(first.config, ROLE(BLK), 1);
    len = shape_store(&first, bytes);
    begin(&second);
    assert_int_equal(shape_load(&second, bytes, len), 0);
    assert_true(plan_is_free(&second.plan.devices[1]));
    assert_memory_equal(&second.plan, &first.plan, sizeof first.plan);
    end(&first);
    end(&second);
}

/* ---- what was written by one that was taken over ---- */

static Bulkhead__Shape *changed(void)
{
    Bulkhead__Shape *shape;
    size_t len;

    begin(&first);
    change(&first);
    len = shape_store(&first, bytes);
    forget_tap(&first);
    end(&first);
    shape = bulkhead__shape__unpack(NULL, len, bytes);
    assert_non_null(shape);
    return shape;
}

static void is_refused(Bulkhead__Shape *shape)
{
    size_t len = bulkhead__shape__pack(shape, bytes);

    bulkhead__shape__free_unpacked(shape, NULL);
    begin(&second);
    assert_true(shape_load(&second, bytes, len) < 0);
    forget_tap(&second);
    end(&second);
}

static void set_mode(Bulkhead__VmConfig *c, unsigned net, const char *mode)
{
    free(c->nets[net]->mode);
    c->nets[net]->mode = strdup(mode);
}

/* Places: disk, disk1, net0 with passt, rng, serial, net1, balloon, net2 with passt. */
static void what_does_not_fit(void **state)
{
    Bulkhead__Shape *s;

    (void)state;
    s = changed();
    s->places[0]->index = 7;
    is_refused(s);
    s = changed();
    s->places[0]->index = s->places[1]->index; /* one disk twice */
    is_refused(s);
    s = changed();
    s->places[5]->pci_slot = s->places[0]->pci_slot;
    is_refused(s);
    s = changed();
    s->places[5]->pci_slot = 32;
    is_refused(s);
    s = changed();
    s->places[1]->pci_slot = 30; /* one of the start, elsewhere */
    is_refused(s);
    s = changed();
    s->places[5]->role = ROLE(PASST);
    is_refused(s);
    s = changed();
    s->places[3]->role = ROLE(CORE);
    is_refused(s);
    s = changed();
    set_mode(s->config, 1, "user"); /* without passt */
    is_refused(s);
    s = changed();
    set_mode(s->config, 2, "tap"); /* and a tap with one */
    is_refused(s);
    s = changed();
    s->places[7]->passt_uid_slot = 0;
    is_refused(s);
    s = changed();
    s->places[7]->passt_uid_slot = PLAN_UID_PASST; /* the one that net0 has */
    is_refused(s);
    s = changed();
    s->places[7]->passt_uid_slot = PLAN_UID_FIRST_DEVICE; /* a worker's uid */
    is_refused(s);
    s = changed();
    s->places[7]->passt_uid_slot = PLAN_UID_PASST + CONFIG_MAX_PASST;
    is_refused(s);
    s = changed();
    s->places[0]->passt_uid_slot = PLAN_UID_PASST + 2; /* a disk's */
    is_refused(s);
    s = changed();
    set_mode(s->config, 0, "tap"); /* and none for the one that has it */
    is_refused(s);
    s = changed();
    s->places[4]->role = ROLE(NONE); /* no serial port */
    is_refused(s);
    s = changed();
    s->places[0]->backend->own = RESOURCES_MAX_OWN + 1;
    is_refused(s);
    s = changed();
    bulkhead__vm_config__free_unpacked(s->config, NULL);
    s->config = NULL;
    is_refused(s);
}

/* Each byte, to some others: it is refused, or what comes of it is a plan. */
static void any_byte(void **state)
{
    Bulkhead__Shape *shape = changed();
    size_t len = bulkhead__shape__get_packed_size(shape);
    static uint8_t valid[4096];

    (void)state;
    assert_true(len < sizeof valid);
    bulkhead__shape__pack(shape, valid);
    bulkhead__shape__free_unpacked(shape, NULL);
    for (size_t at = 0; at < len; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bytes, valid, len);
            bytes[at] ^= (uint8_t)(1u << bit);
            begin(&second);
            if (shape_load(&second, bytes, len) == 0) {
                assert_true(second.plan.n_devices <= PLAN_MAX_DEVICES);
                assert_int_equal(second.n_ends, second.plan.n_devices);
                assert_int_equal(second.vm.n_devices, second.plan.n_devices);
            }
            forget_tap(&second);
            end(&second);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_back),
        cmocka_unit_test(a_free_place_stays),
        cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(any_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
