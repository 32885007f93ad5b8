/* SPDX-License-Identifier: Apache-2.0 */
/* plan_test.c - a configuration's processes, slots, queues, uids and rights. */
#include "config/config.h"
#include "fixture.h"
#include "plan/identity.h"
#include "plan/plan.h"
#include "plan/plan_message.h"
#include "sandbox/ids.h"

static const struct plan_host root_host = {
    .root = true, .uid_range = 1234, .cgroup = "/x", .limits = 3
};
static const struct plan_host user_host = {
    .uid = 1000, .gid = 1001, .uid_range = 1234, .cgroup = ""
};

static void test_devices(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    static const struct {
        const char *name;
        Bulkhead__Role role;
        unsigned slot, queues;
        bool ram;
    } want[] = {
        { "disk0", BULKHEAD__ROLE__ROLE_BLK, 1, 4, true },
        { "disk1", BULKHEAD__ROLE__ROLE_BLK, 2, 1, true },
        { "net0", BULKHEAD__ROLE__ROLE_NET, 3, 3, true },
        { "rng", BULKHEAD__ROLE__ROLE_RNG, 4, 1, true },
        { "console", BULKHEAD__ROLE__ROLE_CONSOLE, 5, 2, true },
        { "balloon", BULKHEAD__ROLE__ROLE_BALLOON, 6, 4, true },
        { "serial", BULKHEAD__ROLE__ROLE_CONSOLE, 0, 0, false },
    };
    struct plan plan;

    (void)state;
    c->disks[0]->num_queues = 4;
    c->balloon->enabled = c->balloon->free_page_reporting = true;
    plan_make(c, &plan);
    assert_int_equal(plan.n_devices, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(plan.devices[i].name, want[i].name);
        assert_int_equal(plan.devices[i].role, want[i].role);
        assert_int_equal(plan.devices[i].pci_slot, want[i].slot);
        assert_int_equal(plan.devices[i].num_queues, want[i].queues);
        assert_int_equal(plan.devices[i].needs_ram, want[i].ram);
    }
    assert_true(plan.serial);
    assert_int_equal(plan.pci_slots, 0x7e);
    config_free(c);
}

static const Bulkhead__ProcessPlan *find(const Bulkhead__VmPlan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_processes; i++)
        if (strcmp(plan->processes[i]->name, name) == 0)
            return plan->processes[i];
    fail_msg("no process %s", name);
    return NULL;
}

static unsigned count_fds(const Bulkhead__ProcessPlan *p, const char *what)
{
    for (size_t i = 0; i < p->n_fds; i++)
        if (strcmp(p->fds[i]->what, what) == 0)
            return p->fds[i]->count;
    return 0;
}

static Bulkhead__VmPlan *make_message(const Bulkhead__VmConfig *c, const struct plan_host *host,
                                      struct plan *ret_plan)
{
    Bulkhead__VmPlan *m;

    plan_make(c, ret_plan);
    m = plan_message(ret_plan, c, host);
    assert_non_null(m);
    return m;
}

static void test_message(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    Bulkhead__VmPlan *m;
    struct plan plan;

    (void)state;
    m = make_message(c, &root_host, &plan);
    /* broker, spawner, core, loader, the devices, passt */
    assert_int_equal(m->n_processes, 4 + plan.n_devices + 1);
    for (size_t i = 0; i < m->n_processes; i++) {
        for (size_t j = 0; j < i && i >= 2; j++)
            assert_int_not_equal(
                m->processes[i]->uid == m->processes[j]->uid && m->processes[i]->uid != 0, 1);
        for (size_t j = 0; j < m->processes[i]->n_fds; j++)
            assert_string_not_equal(m->processes[i]->fds[j]->why, "");
    }
    assert_int_equal(find(m, "core")->uid, sandbox_uid(1234, PLAN_UID_CORE));
    assert_int_equal(find(m, "serial")->ram_mapped, 0);
    assert_int_equal(find(m, "disk0")->ram_mapped, c->memory->size);
    assert_false(find(m, "loader")->survives_boot);
    assert_int_equal(count_fds(find(m, "disk0"), "kick eventfds"), 1);
    assert_int_equal(count_fds(find(m, "disk0"), "/d0.raw"), 1);
    assert_int_equal(count_fds(find(m, "disk1"), "/d0.raw"), 0);
    /* 1 + 1 disks, 3 net, 1 rng, 2 console: kick and call each */
    assert_int_equal(count_fds(find(m, "core"), "queue eventfds"), 16);
    assert_string_equal(find(m, "net0-passt")->program, "passt");
    assert_int_equal(m->n_notes, 0);
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

static void test_affinity(void **state)
{
    static uint8_t bits[] = { 0x06 };
    Bulkhead__VcpuAffinity pin = BULKHEAD__VCPU_AFFINITY__INIT, *pins[] = { &pin };
    Bulkhead__VmConfig *c = fixture_config();
    const Bulkhead__ProcessPlan *core;
    Bulkhead__VmPlan *m;
    struct plan plan;

    (void)state;
    pin.host_cpus = (ProtobufCBinaryData){ sizeof bits, bits };
    c->cpus->affinity = pins;
    c->cpus->n_affinity = 1;
    m = make_message(c, &root_host, &plan);
    c->cpus->affinity = NULL;
    c->cpus->n_affinity = 0;
    core = find(m, "core");
    assert_int_equal(core->n_affinity, 1);
    assert_memory_equal(core->affinity[0]->host_cpus.data, bits, sizeof bits);
    assert_int_equal(find(m, "disk0")->n_affinity, 0);
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

/* Of the VM's own group: those that are given, as the kernel's files take them. */
static void test_vm_limits(void **state)
{
    static const char *const want[][2] = { { "cpu.max", "150000 100000" },
                                           { "memory.max", "1073741824" },
                                           { "pids.max", "99" },
                                           { "cpuset.cpus", "0,2-3" } };
    Bulkhead__VmConfig *c = fixture_config();
    struct plan plan;
    Bulkhead__VmPlan *m = make_message(c, &root_host, &plan);

    (void)state;
    assert_string_equal(m->cgroup, "/x");
    assert_int_equal(m->n_limits, 0);
    bulkhead__vm_plan__free_unpacked(m, NULL);
    c->limits->cpu_max = 150;
    c->limits->memory_max = (1 << 30) + 4095; /* the kernel counts pages */
    c->limits->pids_max = 99;
    c->limits->cpuset.data = malloc(1);
    c->limits->cpuset.data[0] = 0x0d;
    c->limits->cpuset.len = 1;
    m = make_message(c, &root_host, &plan);
    assert_int_equal(m->n_limits, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(m->limits[i]->key, want[i][0]);
        assert_string_equal(m->limits[i]->value, want[i][1]);
    }
    bulkhead__vm_plan__free_unpacked(m, NULL);
    m = make_message(c, &user_host, &plan); /* has no group */
    assert_string_equal(m->cgroup, "");
    assert_int_equal(m->n_limits, 0);
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

/* Whoever is connected is no drift. */
static void test_sockets(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    Bulkhead__VmPlan *m;
    struct plan plan;

    (void)state;
    c->vsock->enabled = true;
    fixture_text(&c->vsock->id, "vsock");
    fixture_text(&c->vsock->socket, "/t/vs");
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
    fixture_text(&c->serial->path, "/t/serial");
    m = make_message(c, &root_host, &plan);
    assert_int_equal(count_fds(find(m, "serial"), "/t/serial"), 1);
    assert_int_equal(count_fds(find(m, "serial"), "the reader"), 1);
    assert_int_equal(count_fds(find(m, "vsock"), "/t/vs"), 1);
    assert_int_equal(count_fds(find(m, "vsock"), "connections"), 1280);
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

static void test_ordinary_user(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    Bulkhead__VmPlan *m;
    struct plan plan;

    (void)state;
    m = make_message(c, &user_host, &plan);
    assert_int_equal(find(m, "disk0")->uid, 1000);
    assert_int_equal(find(m, "disk0")->gid, 1001);
    assert_int_equal(m->n_notes, 2); /* no uids of their own, no cgroup */
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

/* What can be limited is what the controllers reach; the rest is said. */
static void test_group_limits(void **state)
{
    struct plan_host host = { .root = true,
                              .uid_range = 1,
                              .cgroup = "/x",
                              .limits = SANDBOX_CGROUP_PIDS | SANDBOX_CGROUP_MEMORY };
    Bulkhead__VmConfig *c = fixture_config();
    const uint64_t base = c->memory->size + c->memory->size / 64 + (64 << 20);
    Bulkhead__VmPlan *m;
    struct plan plan;

    (void)state;
    m = make_message(c, &host, &plan);
    assert_int_equal(m->n_notes, 0);
    assert_int_equal(find(m, "core")->memory_high, 0);
    assert_int_equal(find(m, "core")->memory_max, base);
    assert_int_equal(find(m, "rng")->pids_max, PLAN_SPARE_THREADS);
    assert_int_equal(find(m, "rng")->memory_high, base);
    assert_int_equal(find(m, "rng")->memory_max, plan_memory_max(base));
    assert_int_equal(find(m, "disk0")->memory_high,
                     base + (c->disks[0]->direct ? 0 : PLAN_CACHE_BYTES));
    assert_int_equal(find(m, "disk0")->pids_max, PLAN_SPARE_THREADS + PLAN_IO_THREADS);
    bulkhead__vm_plan__free_unpacked(m, NULL);

    plan.devices[0].cache_bytes = PLAN_CACHE_ENDLESS;
    m = plan_message(&plan, c, &host);
    assert_int_equal(m->n_notes, 1);
    assert_non_null(strstr(m->notes[0], "disk0: no limit of memory"));
    assert_int_equal(find(m, "disk0")->memory_max, 0);
    bulkhead__vm_plan__free_unpacked(m, NULL);

    host.limits = 0;
    m = plan_message(&plan, c, &host);
    assert_int_equal(m->n_notes, 2);
    assert_non_null(strstr(m->notes[0], "cgroup limits: the memory controller"));
    assert_non_null(strstr(m->notes[1], "cgroup limits: the pids controller"));
    assert_int_equal(find(m, "rng")->pids_max, 0);
    assert_int_equal(find(m, "rng")->memory_max, 0);
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

/* Without user namespaces a process has a host uid all the same, and that is said. */
static void test_no_userns(void **state)
{
    const struct plan_host host = {
        .root = true, .userns_error = -ENOSPC, .broker_pid = 1234, .cgroup = "/x", .limits = 3
    };
    Bulkhead__VmConfig *c = fixture_config();
    const Bulkhead__ProcessPlan *disk;
    Bulkhead__VmPlan *m;
    struct plan plan;

    (void)state;
    m = make_message(c, &host, &plan);
    disk = find(m, "disk0");
    assert_true(disk->uid >= SANDBOX_UID_FIRST);
    assert_int_equal(disk->n_namespaces, 6);
    for (size_t i = 0; i < disk->n_namespaces; i++)
        assert_string_not_equal(disk->namespaces[i], "user");
    assert_int_equal(m->n_notes, 1);
    assert_non_null(strstr(m->notes[0], "replaced"));
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

/* What to do is said before anything is opened, and it is the user's, not the host's failure. */
static void test_no_userns_refused(void **state)
{
    struct plan_host host = { .userns_error = -ENOSPC, .cgroup = "" };
    Bulkhead__VmConfig *c = fixture_config();
    struct fault f = { 0 };

    (void)state;
    assert_true(host_check(c, &host, &f) < 0);
    assert_true(f.bad_input);
    assert_non_null(strstr(f.text, "only root"));
    assert_non_null(strstr(f.text, "user.max_user_namespaces"));
    host.root = true;
    assert_true(host_check(c, &host, &f) < 0);
    assert_true(f.bad_input);
    assert_non_null(strstr(f.text, "passt needs a user namespace"));
    host.userns_error = 0;
    assert_int_equal(host_check(c, &host, &f), 0);
    host.userns_error = -ENOSPC;
    free(c->nets[0]->mode);
    c->nets[0]->mode = strdup("tap");
    assert_int_equal(host_check(c, &host, &f), 0);
    config_free(c);
}

static void test_largest(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    Bulkhead__VmPlan *m;
    struct plan plan;
    size_t len;

    (void)state;
    while (c->n_disks < 26)
        fixture_add_disk(c, "/more.raw");
    assert_int_equal(config_fill(c, "x"), 0);
    c->vsock->enabled = c->balloon->enabled = true;
    plan_make(c, &plan);
    assert_int_equal(plan.n_devices, 32); /* 31 functions and the serial port */
    m = plan_message(&plan, c, &root_host);
    assert_non_null(m);
    len = bulkhead__vm_plan__get_packed_size(m);
    assert_in_range(len, 1, 60000); /* one datagram */
    bulkhead__vm_plan__free_unpacked(m, NULL);
    config_free(c);
}

/* A limit on open files is told before anything is started. */
static void test_files(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    struct plan small, large;

    (void)state;
    plan_make(c, &small);
    fixture_add_disk(c, "/more.raw");
    c->disks[c->n_disks - 1]->num_queues = 16;
    plan_make(c, &large);
    assert_in_range(plan_files(&small), 100, 500);
    assert_true(plan_files(&large) >= plan_files(&small) + 2 * 16);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_vm_limits),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_ordinary_user),
        cmocka_unit_test(test_group_limits),
        cmocka_unit_test(test_no_userns),
        cmocka_unit_test(test_no_userns_refused),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
