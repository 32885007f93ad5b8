/* SPDX-License-Identifier: Apache-2.0 */
/* add_test.c - what a device that is added or removed does to configuration and plan, and what the broker takes
 * of a back end that others have opened. */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "config/merge.h"
#include "devices/handed.h"
#include "fixture.h"
#include "plan/plan.h"
#include "resources/holder.h"

enum {
    BALLOON = BULKHEAD__ROLE__ROLE_BALLOON,
    BLK = BULKHEAD__ROLE__ROLE_BLK,
    NET = BULKHEAD__ROLE__ROLE_NET
};

static Bulkhead__VmConfig *empty_config(void)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);

    assert_non_null(c);
    return c;
}

static Bulkhead__VmConfig *vm_config(unsigned n_disks)
{
    Bulkhead__VmConfig *c = empty_config();

    for (unsigned i = 0; i < n_disks; i++)
        fixture_add_disk(c, i == 0 ? "/d0" : i == 1 ? "/d1" : "/d2");
    assert_int_equal(config_fill(c, "vm"), 0);
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    c->rng->enabled = false;
    return c;
}

/* ---- configuration ---- */

static Bulkhead__VmConfig *a_disk(const char *path)
{
    Bulkhead__VmConfig *c = empty_config();

    fixture_add_disk(c, path);
    return c;
}

static Bulkhead__VmConfig *a_balloon(void)
{
    Bulkhead__VmConfig *c = empty_config();

    c->balloon = calloc(1, sizeof *c->balloon);
    bulkhead__balloon_config__init(c->balloon);
    c->balloon->enabled = true;
    return c;
}

static int add(Bulkhead__VmConfig *c, Bulkhead__VmConfig *device, int want_role,
               unsigned want_index)
{
    Bulkhead__Role role = BULKHEAD__ROLE__ROLE_NONE;
    unsigned index = ~0u;
    struct fault f = { 0 };
    int r = config_add(c, device, &role, &index, &f);

    if (r == 0) {
        assert_int_equal(role, want_role);
        assert_int_equal(index, want_index);
        assert_int_equal(config_fill(c, "vm"), 0);
    } else {
        assert_true(f.bad_input && f.text[0] != '\0');
    }
    return r;
}

static void one_at_a_time(void **state)
{
    Bulkhead__VmConfig *c = vm_config(1), *two = a_disk("/a");

    (void)state;
    fixture_add_disk(two, "/b");
    assert_int_equal(add(c, two, BLK, 0), -EINVAL);
    assert_int_equal(add(c, empty_config(), BLK, 0), -EINVAL);
    assert_int_equal(add(c, a_balloon(), BALLOON, 0), 0);
    assert_int_equal(add(c, a_balloon(), BALLOON, 0), -EINVAL);
    config_remove(c, BULKHEAD__ROLE__ROLE_BALLOON, 0);
    assert_int_equal(add(c, a_balloon(), BALLOON, 0), 0);
    assert_int_equal(c->n_disks, 1);
    config_free(c);
}

/* The id that is made up is nobody's, whoever came and went before. */
static void ids_are_free(void **state)
{
    Bulkhead__VmConfig *c = vm_config(3);

    (void)state;
    config_remove(c, BULKHEAD__ROLE__ROLE_BLK, 0);
    assert_int_equal(c->n_disks, 2);
    assert_string_equal(c->disks[0]->id, "disk1");
    assert_int_equal(add(c, a_disk("/a"), BLK, 2), 0);
    assert_string_equal(c->disks[2]->id, "disk3");
    assert_int_equal(add(c, a_disk("/b"), BLK, 3), 0);
    assert_string_equal(c->disks[3]->id, "disk4");
    config_free(c);
}

/* ---- plan ---- */

static void places_are_used_again(void **state)
{
    Bulkhead__VmConfig *c = vm_config(3);
    struct plan plan;
    char address[16];

    (void)state;
    plan_make(c, &plan);
    assert_int_equal(plan.n_devices, 3);
    plan_remove(&plan, 1);
    config_remove(c, BULKHEAD__ROLE__ROLE_BLK, 1);
    assert_true(plan_is_free(&plan.devices[1]));
    assert_int_equal(plan.devices[2].index, 1); /* it follows the configuration */
    assert_string_equal(c->disks[plan.devices[2].index]->id, plan.devices[2].name);
    assert_int_equal(add(c, a_disk("/a"), BLK, 2), 0);
    assert_int_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_BLK, 2), 1);
    assert_int_equal(plan.devices[1].pci_slot, 2);
    assert_int_equal(plan.devices[1].uid_slot, PLAN_UID_FIRST_DEVICE + 1);
    plan_address(&plan.devices[1], address, sizeof address);
    assert_string_equal(address, "0000:00:02.0");
    config_free(c);
}

static Bulkhead__VmConfig *a_user_net(void)
{
    Bulkhead__VmConfig *c = empty_config();

    fixture_add_net(c, "user");
    return c;
}

/* Of passt's uids each user network has one, the lowest that is free. */
static void uids_of_passt_are_used_again(void **state)
{
    Bulkhead__VmConfig *c = vm_config(1);
    struct plan plan;

    (void)state;
    plan_make(c, &plan);
    for (unsigned i = 0; i < CONFIG_MAX_PASST; i++) {
        assert_int_equal(add(c, a_user_net(), NET, i), 0);
        assert_int_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_NET, i), 1 + i);
        assert_int_equal(plan.devices[1 + i].passt_uid_slot, PLAN_UID_PASST + i);
    }
    assert_int_equal(add(c, a_user_net(), NET, CONFIG_MAX_PASST), 0);
    assert_int_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_NET, CONFIG_MAX_PASST), -1);
    assert_int_equal(plan.pci_slots & (1u << (CONFIG_MAX_PASST + 2)), 0); /* nothing of it */
    plan_remove(&plan, 3);
    config_remove(c, BULKHEAD__ROLE__ROLE_NET, 2);
    assert_int_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_NET, CONFIG_MAX_PASST - 1), 3);
    assert_int_equal(plan.devices[3].passt_uid_slot, PLAN_UID_PASST + 2);
    config_free(c);
}

static void a_bus_is_full(void **state)
{
    Bulkhead__VmConfig *c = vm_config(1);
    struct plan plan;

    (void)state;
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_NULL; /* it takes a place, and no slot */
    plan_make(c, &plan);
    for (unsigned i = 1; i <= 31; i++)
        assert_int_equal(add(c, a_disk("/a"), BLK, i), 0);
    assert_int_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_BLK, 0), -1); /* it is there */
    for (unsigned i = 1; i < 31; i++)
        assert_int_not_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_BLK, i), -1);
    assert_int_equal(plan.n_devices, PLAN_MAX_DEVICES);
    assert_int_equal(plan_add(&plan, c, BULKHEAD__ROLE__ROLE_BLK, 31), -1);
    config_free(c);
}

/* ---- what was opened by others ---- */

static char path[] = "/tmp/bulkhead-handed.XXXXXX";

static Bulkhead__Backend disk_backend(void)
{
    Bulkhead__Backend m = BULKHEAD__BACKEND__INIT;

    m.own = 1;
    m.size = 1 << 20;
    m.block_size = m.direct_align = m.range_align = 512;
    m.physical_block_exp = 3;
    return m;
}

static int hand_disk(const Bulkhead__Backend *m, int flags, bool readonly)
{
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT;
    char id[] = "disk0";
    struct backend b;
    struct fault f = { 0 };
    int fd = open(path, flags | O_CLOEXEC), r;

    assert_true(fd >= 0);
    disk.id = id;
    disk.readonly = readonly;
    backend_init(&b);
    r = handed_take(m, id, &fd, 1, &b, &f);
    if (r == 0)
        r = handed_check_disk(&disk, &b, &f);
    assert_true(r == 0 || (f.bad_input && f.text[0] != '\0'));
    backend_deinit(&b);
    fd_closep(&fd);
    return r;
}

static void a_disk_is_what_it_says(void **state)
{
    Bulkhead__Backend m = disk_backend();

    (void)state;
    assert_int_equal(hand_disk(&m, O_RDWR, false), 0);
    assert_int_equal(hand_disk(&m, O_RDONLY, true), 0);
    assert_int_equal(hand_disk(&m, O_RDONLY, false), -EINVAL);
    assert_int_equal(hand_disk(&m, O_RDWR, true), -EINVAL); /* its worker could write */
    assert_int_equal(hand_disk(&m, O_PATH, true), -EINVAL);
    m.size = 2 << 20;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.block_device = true;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.block_size = 3;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.direct_align = 1 << 20;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.own = 2;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m.own = ~0u;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
}

static void names_are_short(void **state)
{
    static char name[200];
    Bulkhead__Backend m = disk_backend();

    (void)state;
    memset(name, 'a', sizeof name - 1);
    m.made_tap = name;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.pty_path = name;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.macvtap = ~0u;
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
    m = disk_backend();
    m.holder = true; /* and nothing that leads to it */
    assert_int_equal(hand_disk(&m, O_RDWR, false), -EINVAL);
}

static int hand_socket(int own, int link, bool holder)
{
    Bulkhead__Backend m = BULKHEAD__BACKEND__INIT;
    int fds[] = { dup(own), dup(link) };
    struct fault f = { 0 };
    struct backend b;
    int r;

    m.own = m.held = 1;
    m.holder = holder;
    backend_init(&b);
    r = handed_take(&m, "vsock0", fds, 2, &b, &f);
    if (r == 0)
        r = handed_check_socket("vsock0", &b, &f);
    assert_true(r == 0 || (f.bad_input && f.text[0] != '\0'));
    backend_deinit(&b);
    fd_closep(&fds[0]);
    fd_closep(&fds[1]);
    return r;
}

static void a_socket_listens_and_somebody_keeps_its_file(void **state)
{
    int listens = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), tcp, link[2], stream[2];
    const struct sockaddr_un any = { .sun_family = AF_UNIX };

    (void)state;
    assert_int_equal(holder_link(link), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
    assert_int_equal(hand_socket(listens, link[0], true), -EINVAL); /* it doesn't yet */
    assert_int_equal(bind(listens, (const struct sockaddr *)&any, sizeof any.sun_family), 0);
    assert_int_equal(listen(listens, 1), 0);
    assert_int_equal(hand_socket(listens, link[0], true), 0);
    assert_int_equal(hand_socket(listens, link[0], false), -EINVAL);
    assert_int_equal(hand_socket(listens, stream[0], true), -EINVAL);
    assert_int_equal(hand_socket(stream[0], link[0], true), -EINVAL);
    tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(hand_socket(tcp, link[0], true), -EINVAL);
    close(tcp);
    close(listens);
    for (unsigned i = 0; i < 2; i++) {
        close(link[i]);
        close(stream[i]);
    }
}

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 || ftruncate(fd, 1 << 20) < 0 || close(fd) < 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(ids_are_free),
        cmocka_unit_test(places_are_used_again),
        cmocka_unit_test(uids_of_passt_are_used_again),
        cmocka_unit_test(a_bus_is_full),
        cmocka_unit_test(a_disk_is_what_it_says),
        cmocka_unit_test(names_are_short),
        cmocka_unit_test(a_socket_listens_and_somebody_keeps_its_file),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
