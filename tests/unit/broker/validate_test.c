/* SPDX-License-Identifier: Apache-2.0 */
/* validate_test.c - each way to break a configuration, and what the user is told. */
#include <errno.h>
#include "config/allowed.h"
#include "config/checks.h"
#include "config/config.h"
#include "config/hostfwd.h"
#include "fixture.h"

/* CPUs 0 to 3 and 8. */
static uint8_t host_cpu_bits[] = { 0x0f, 0x01 };
static const ProtobufCBinaryData host_cpus = { sizeof host_cpu_bits, host_cpu_bits };
static const struct validate_host host = { .memory_bytes = 8ull << 30, .cpus = &host_cpus };

typedef void (*breaker)(Bulkhead__VmConfig *c);

static Bulkhead__RateLimit *limit(uint64_t size, uint64_t refill)
{
    Bulkhead__RateLimit *l = malloc(sizeof *l);

    bulkhead__rate_limit__init(l);
    l->ops = malloc(sizeof *l->ops);
    bulkhead__token_bucket__init(l->ops);
    l->ops->size = size;
    l->ops->refill_time_ms = refill;
    return l;
}

static void long_text(char **field, size_t len, char fill)
{
    char *text = malloc(len + 1);

    memset(text, fill, len);
    text[len] = '\0';
    fixture_text(field, text);
    free(text);
}

static void add_disks(Bulkhead__VmConfig *c)
{
    for (int i = 0; i < 30; i++) {
        char id[16];
        Bulkhead__DiskConfig *d;

        snprintf(id, sizeof id, "more%d", i);
        d = fixture_add_disk(c, id);
        fixture_text(&d->id, id);
        d->num_queues = 1;
        d->queue_size = 128;
    }
}

static void add_group(Bulkhead__VmConfig *c, const char *id, uint64_t size)
{
    Bulkhead__RateLimitGroup *group = malloc(sizeof *group);

    bulkhead__rate_limit_group__init(group);
    fixture_text(&group->id, id);
    group->limit = limit(size, 1);
    c->rate_limit_groups =
        realloc(c->rate_limit_groups, (c->n_rate_limit_groups + 1) * sizeof *c->rate_limit_groups);
    c->rate_limit_groups[c->n_rate_limit_groups++] = group;
}

/* The first 8 CPUs that a vCPU may run on, as bits. */
static void pin(Bulkhead__VmConfig *c, unsigned vcpu, uint8_t cpus)
{
    Bulkhead__CpusConfig *to = c->cpus;
    Bulkhead__VcpuAffinity *a = malloc(sizeof *a);

    bulkhead__vcpu_affinity__init(a);
    a->vcpu = vcpu;
    a->host_cpus.data = malloc(1);
    a->host_cpus.data[0] = cpus;
    a->host_cpus.len = cpus != 0;
    to->affinity = realloc(to->affinity, (to->n_affinity + 1) * sizeof *to->affinity);
    to->affinity[to->n_affinity++] = a;
}

#define BREAK(name, ...)                                                                           \
    static void name(Bulkhead__VmConfig *c)                                                        \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

BREAK(name_slash, fixture_text(&c->name, "a/b"))
BREAK(name_dots, fixture_text(&c->name, ".."))
BREAK(name_long, long_text(&c->name, 49, 'a'))
BREAK(cpus_zero, c->cpus->boot_vcpus = 0)
BREAK(cpus_many, c->cpus->boot_vcpus = 65)
BREAK(pin_beyond, pin(c, 0, 1); pin(c, 1, 1))
BREAK(pin_none, pin(c, 0, 0))
BREAK(pin_missing, pin(c, 0, 0x18))
BREAK(pin_twice, c->cpus->boot_vcpus = 2; pin(c, 1, 1); pin(c, 0, 1); pin(c, 1, 2))
BREAK(memory_zero, c->memory->size = 0)
BREAK(memory_odd, c->memory->size = (64 << 20) + 1)
BREAK(memory_huge_odd, c->memory->hugepages = true; c->memory->size = (64 << 20) + 4096)
BREAK(memory_small, c->memory->size = 4096)
BREAK(memory_host, c->memory->size = 16ull << 30)
BREAK(no_kernel, fixture_text(&c->kernel, ""))
BREAK(kernel_control, fixture_text(&c->kernel, "/a\nb"))
BREAK(cmdline_long, long_text(&c->cmdline, 2048, 'x'))
BREAK(cmdline_control, fixture_text(&c->cmdline, "a\tb\n\033b"))
BREAK(disk_no_path, fixture_text(&c->disks[0]->path, ""))
BREAK(disk_twice, fixture_text(&c->disks[1]->path, "/d0.raw"))
BREAK(disk_twice_one_ro, fixture_text(&c->disks[1]->path, "/d0.raw"); c->disks[0]->readonly = true)
BREAK(disk_queues, c->disks[0]->num_queues = 17)
BREAK(disk_queue_size, c->disks[0]->queue_size = 100)
BREAK(disk_queue_size_small, c->disks[0]->queue_size = 2)
BREAK(disk_block_size, c->disks[0]->logical_block_size = 1000)
BREAK(disk_block_size_big, c->disks[0]->logical_block_size = 8192)
BREAK(disk_queue_size_big, c->disks[0]->queue_size = 2048)
BREAK(disk_serial, long_text(&c->disks[0]->serial, 21, 's'))
BREAK(disk_limit_zero, c->disks[0]->rate_limit = limit(0, 1))
BREAK(disk_refill_zero, c->disks[0]->rate_limit = limit(1, 0))
BREAK(disk_group, fixture_text(&c->disks[0]->rate_limit_group, "none"))
BREAK(disk_group_and_limit, add_group(c, "g", 1); c->disks[0]->rate_limit = limit(1, 1);
      fixture_text(&c->disks[0]->rate_limit_group, "g"))
BREAK(group_zero, add_group(c, "g", 0))
BREAK(group_twice, add_group(c, "g", 1); add_group(c, "g", 1))
BREAK(group_disk, add_group(c, "disk1", 1))
BREAK(group_name, add_group(c, "a b", 1))
BREAK(id_twice, fixture_text(&c->disks[1]->id, "disk0"))
BREAK(id_other_kind, fixture_text(&c->disks[1]->id, "net0"))
BREAK(id_serial, fixture_text(&c->disks[1]->id, "serial"))
BREAK(id_reserved, fixture_text(&c->disks[1]->id, "core"))
BREAK(id_kernels, fixture_text(&c->disks[1]->id, "cgroup.procs"))
BREAK(id_long, long_text(&c->disks[1]->id, 33, 'i'))
BREAK(too_many, add_disks(c))
BREAK(two_ttys, c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_TTY)
BREAK(file_no_path, c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_FILE)
BREAK(socket_long, c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
      long_text(&c->serial->path, 108, 'p'))
BREAK(console_mode, c->serial->mode = (Bulkhead__ConsoleMode)99)
BREAK(rng_src, fixture_text(&c->rng->src, "/dev/hwrng"))
BREAK(net_mode, fixture_text(&c->nets[0]->mode, "bridge"))
BREAK(net_multicast, c->nets[0]->mac.data[0] |= 1)
BREAK(net_mac_short, c->nets[0]->mac.len = 5)
BREAK(net_mac_zero, memset(c->nets[0]->mac.data, 0, 6))
BREAK(net_mtu_small, c->nets[0]->mtu = 67)
BREAK(net_mtu_big, c->nets[0]->mtu = 65536)
BREAK(net_queues_odd, fixture_text(&c->nets[0]->mode, "tap"); c->nets[0]->num_queues = 3)
BREAK(net_queues_user, c->nets[0]->num_queues = 4)
BREAK(net_queue_size_small, c->nets[0]->queue_size = 16)
BREAK(net_queue_size_odd, c->nets[0]->queue_size = 48)
BREAK(net_tap_long, fixture_text(&c->nets[0]->tap, "abcdefghijklmnop"))
BREAK(net_tap_slash, fixture_text(&c->nets[0]->tap, "../x"))
BREAK(net_fd_none, fixture_text(&c->nets[0]->mode, "fd"))
BREAK(net_macvtap_no_name, fixture_text(&c->nets[0]->mode, "macvtap"))
BREAK(vsock_cid, c->vsock->enabled = true; fixture_text(&c->vsock->id, "vs");
      fixture_text(&c->vsock->socket, "/v"); c->vsock->cid = 2)
BREAK(vsock_path, c->vsock->enabled = true; fixture_text(&c->vsock->id, "vs"); c->vsock->cid = 3;
      long_text(&c->vsock->socket, 100, 'v'))
BREAK(balloon_all, c->balloon->enabled = true; c->balloon->size = c->memory->size)
BREAK(balloon_huge, c->balloon->enabled = true; c->memory->hugepages = true)
BREAK(balloon_odd, c->balloon->enabled = true; c->balloon->size = 5)
BREAK(limit_cpu, c->limits->cpu_max = 102401)
BREAK(limit_cpu_weight, c->limits->cpu_weight = 10001)
static void keep_to(Bulkhead__VmConfig *c, uint8_t cpus)
{
    c->limits->cpuset.data = malloc(1);
    c->limits->cpuset.data[0] = cpus;
    c->limits->cpuset.len = 1;
}

BREAK(cpuset_none, keep_to(c, 0))
BREAK(cpuset_missing, keep_to(c, 0x18))
BREAK(cpuset_pinned, keep_to(c, 1); pin(c, 0, 2))
BREAK(limit_io_weight, c->limits->io_weight = 10001)
/* 512 MiB and a 64th, 64 MiB, 6 devices, one passt: 672 MiB. */
BREAK(limit_memory, c->limits->memory_max = (672ull << 20) - 1)
BREAK(limit_pids, c->limits->pids_max = 64)
BREAK(hang_short, c->hang_timeout_ms = 100)
BREAK(stall_short, c->stall_timeout_ms = c->hang_timeout_ms - 1)
BREAK(crash_many, c->crash_limit = 1025)

static const struct {
    const char *what;
    breaker fn;
    const char *say; /* a part of the line the user reads */
} bad[] = {
    { "slash in name", name_slash, "VM name" },
    { "name ..", name_dots, "VM name" },
    { "name of 49", name_long, "VM name" },
    { "0 cpus", cpus_zero, "0 CPUs" },
    { "65 cpus", cpus_many, "over the limit" },
    { "vCPU that isn't there", pin_beyond, "no vCPU 1: the guest has 1" },
    { "no host CPU", pin_none, "vCPU 0 is given no CPU" },
    { "a host CPU that isn't there", pin_missing,
      "on host CPU 4: those that can be used here are 0-3,8" },
    { "a vCPU twice", pin_twice, "vCPU 1 is given twice" },
    { "memory 0", memory_zero, "memory size 0" },
    { "memory not of pages", memory_odd, "not a multiple of 4096" },
    { "memory not of huge pages", memory_huge_odd, "2 MiB" },
    { "memory small", memory_small, "too small" },
    { "memory over the host's", memory_host, "this host's" },
    { "no kernel", no_kernel, "no kernel" },
    { "control character", kernel_control, "control character (0x0a) at byte 3" },
    { "long cmdline", cmdline_long, "command line has 2048" },
    { "escape in cmdline", cmdline_control, "control character (0x1b) at byte 5" },
    { "disk without path", disk_no_path, "disk0 has no path" },
    { "same disk", disk_twice, "same file" },
    { "same disk, one writer", disk_twice_one_ro, "same file" },
    { "disk queues", disk_queues, "17 queues" },
    { "queue size 100", disk_queue_size, "power of two" },
    { "queue size 2048", disk_queue_size_big, "power of two" },
    { "queue size 2", disk_queue_size_small, "power of two from 4" },
    { "logical block size 1000", disk_block_size, "512, 1024, 2048 or 4096" },
    { "logical block size 8192", disk_block_size_big, "512, 1024, 2048 or 4096" },
    { "serial of 21", disk_serial, "at most 20" },
    { "limit 0", disk_limit_zero, "size 0" },
    { "refill 0", disk_refill_zero, "refill time 0" },
    { "group", disk_group, "no rate limit group" },
    { "group and limit", disk_group_and_limit, "use one of them" },
    { "group with limit 0", group_zero, "size 0" },
    { "group twice", group_twice, "given twice" },
    { "group with a device's id", group_disk, "id of a device" },
    { "group with a bad name", group_name, "not usable" },
    { "id twice", id_twice, "used twice" },
    { "id of another kind", id_other_kind, "used twice" },
    { "id of the serial port", id_serial, "used twice" },
    { "reserved id", id_reserved, "taken" },
    { "id of a control file", id_kernels, "file of the kernel's" },
    { "long id", id_long, "not usable" },
    { "too many devices", too_many, "room for 31" },
    { "two ttys", two_ttys, "both want the terminal" },
    { "file without path", file_no_path, "no path" },
    { "socket path", socket_long, "longer than 107" },
    { "console mode", console_mode, "unknown mode" },
    { "rng source", rng_src, "not supported" },
    { "net mode", net_mode, "unknown mode" },
    { "multicast", net_multicast, "multicast" },
    { "short mac", net_mac_short, "not a MAC" },
    { "zero mac", net_mac_zero, "all zeroes" },
    { "net queue size 16", net_queue_size_small, "from 32 to 1024, for Linux" },
    { "net queue size 48", net_queue_size_odd, "power of two from 32 to 1024" },
    { "mtu 67", net_mtu_small, "MTU 67" },
    { "mtu 65536", net_mtu_big, "MTU 65536" },
    { "odd queues", net_queues_odd, "pairs" },
    { "user queues", net_queues_user, "one queue pair" },
    { "tap name of 16", net_tap_long, "interface name" },
    { "tap with slash", net_tap_slash, "interface name" },
    { "no fds", net_fd_none, "no descriptors" },
    { "macvtap without interface", net_macvtap_no_name, "needs the interface" },
    { "cid 2", vsock_cid, "CID 2" },
    { "vsock path leaves no room for the port", vsock_path, "longer than" },
    { "balloon of all memory", balloon_all, "all of the guest's memory" },
    { "balloon of huge pages", balloon_huge, "--memory hugepages=on" },
    { "balloon of 5", balloon_odd, "multiple of 4096" },
    { "CPUs beyond any host", limit_cpu, "cpu_max=102401%: give at most 102400%" },
    { "weight of CPUs", limit_cpu_weight, "cpu_weight=10001: give 1 to 10000" },
    { "no CPU", cpuset_none, "cpuset=: no CPU" },
    { "a CPU that isn't there", cpuset_missing, "cpuset=: host CPU 4 can't be used here" },
    { "pinned elsewhere", cpuset_pinned,
      "cpuset=0: vCPU 0 is pinned to host CPU 1, which is not among them" },
    { "weight of disks", limit_io_weight, "io_weight=10001: give 1 to 10000" },
    { "memory that the guest alone has", limit_memory,
      "memory_max=671M: the guest's RAM, what maps it and its devices need 672M" },
    { "fewer tasks than vCPUs and devices", limit_pids,
      "pids_max=64: its vCPUs and devices may need 65" },
    { "hang timeout", hang_short, "hang timeout" },
    { "stall timeout", stall_short, "stall timeout" },
    { "crash limit", crash_many, "crash limit" },
};

static void test_good(void **state)
{
    Bulkhead__VmConfig *c = fixture_config();
    struct fault f = { 0 };

    (void)state;
    assert_int_equal(validate_config(c, &host, &f), 0);
    fixture_text(&c->disks[1]->path, "/d0.raw"); /* two readers of one file are fine */
    c->disks[0]->readonly = c->disks[1]->readonly = true;
    assert_int_equal(validate_config(c, &host, &f), 0);
    fixture_text(&c->cmdline, "root=/dev/vda1\tquiet\nro"); /* the kernel takes these for blanks */
    c->memory->size = 8ull << 30;                           /* all of the host's */
    c->cpus->boot_vcpus = 2;
    pin(c, 1, 0x0f);
    pin(c, 0, 0x08);
    c->memory->size = 512 << 20;
    c->limits->memory_max = 672ull << 20;
    c->limits->pids_max = 66;
    c->limits->cpu_weight = 10000;
    keep_to(c, 0x0f);
    assert_int_equal(validate_config(c, &host, &f), 0);
    config_free(c);
}

/* The host's own may have any. */
static void test_weights_of_a_tenants(void **state)
{
    const Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);

    (void)state;
    assert_int_equal(config_fill(c, "vm"), 0);
    for (int i = 0; i < 2; i++) {
        uint32_t *weight = i == 0 ? &c->limits->cpu_weight : &c->limits->io_weight;
        struct allowed acme = { .tenant = "acme" };
        struct fault f = { 0 };

        *weight = 100;
        assert_int_equal(allowed_check(c, &acme, &f), 0);
        *weight = 101;
        assert_int_equal(allowed_check(c, &acme, &f), -EINVAL);
        assert_non_null(
            strstr(f.text, "_weight=101: a VM of tenant acme may have 100 at most, as others"));
        acme.host = true;
        assert_int_equal(allowed_check(c, &acme, &f), 0);
        *weight = 0;
    }
    config_free(c);
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Bulkhead__VmConfig *c = fixture_config();
        struct fault f = { 0 };

        bad[i].fn(c);
        if (validate_config(c, &host, &f) != -EINVAL || !f.bad_input ||
            !strstr(f.text, bad[i].say) || strchr(f.text, '\n'))
            fail_msg("%s: said '%s', want '%s'", bad[i].what, f.text, bad[i].say);
        config_free(c);
    }
}

static void test_hostfwd(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        { "tcp:127.0.0.1:2222-:22", true },
        { "udp::53-:53", true },
        { "tcp:1.2.3.4:65535-:1", true },
        { "tcp:127.0.0.1:0-:22", false },
        { "tcp:127.0.0.1:65536-:22", false },
        { "tcp:127.0.0.1:22-:", false },
        { "tcp:127.0.0.1:22", false },
        { "sctp:127.0.0.1:22-:22", false },
        { "tcp:127.0.0:22-:22", false },
        { "tcp:127.0.0.1:22-22", false },
        { "tcp:-:22", false },
        { "tcp", false },
        { "", false },
        { "tcp:1.1.1.1:22-:22x", false },
    };
    struct validate_hostfwd forward;
    struct fault f;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if ((validate_hostfwd(cases[i].text, &forward, &f) == 0) != cases[i].ok)
            fail_msg("hostfwd '%s'", cases[i].text);
    assert_int_equal(validate_hostfwd("tcp:127.0.0.1:2222-:22", &forward, &f), 0);
    assert_string_equal(forward.address, "127.0.0.1");
    assert_int_equal(forward.host_port, 2222);
    assert_int_equal(forward.guest_port, 22);
    assert_false(forward.udp);
}

/* As many as the spawner's table has room for (slots_test.c). */
static void test_forwards(void **state)
{
    static const struct {
        size_t n;
        bool ok;
    } cases[] = { { 14, true }, { 64, true }, { 65, false } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Bulkhead__VmConfig *c = fixture_config();
        Bulkhead__NetConfig *n = fixture_add_net(c, "user");
        struct fault f = { 0 };

        assert_int_equal(config_fill(c, "name"), 0);
        n->hostfwd = calloc(cases[i].n, sizeof *n->hostfwd);
        for (; n->n_hostfwd < cases[i].n; n->n_hostfwd++) {
            char text[40];

            snprintf(text, sizeof text, "tcp:127.0.0.1:%zu-:22", 2000 + n->n_hostfwd);
            n->hostfwd[n->n_hostfwd] = strdup(text);
        }
        if ((validate_config(c, &host, &f) == 0) != cases[i].ok)
            fail_msg("%zu ports: said '%s'", cases[i].n, f.text);
        if (!cases[i].ok) {
            assert_true(f.bad_input);
            assert_non_null(strstr(f.text, "65 ports are forwarded: 64 are possible"));
            assert_null(strchr(f.text, '\n'));
        }
        config_free(c);
    }
}

/* What a client leaves out; Cloud Hypervisor's defaults where it has any. */
static void test_defaults(void **state)
{
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT, *c;
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &disk };
    Bulkhead__NetConfig one = BULKHEAD__NET_CONFIG__INIT, three = BULKHEAD__NET_CONFIG__INIT;
    Bulkhead__NetConfig *nets[] = { &one, &three };

    (void)state;
    three.num_fds = 3;
    config.disks = disks;
    config.n_disks = 1;
    config.nets = nets;
    config.n_nets = 2;
    c = config_copy(&config);
    assert_non_null(c);
    assert_int_equal(config_fill(c, "name"), 0);
    assert_string_equal(c->name, "name");
    assert_int_equal(c->cpus->boot_vcpus, 1);
    assert_int_equal(c->memory->size, 512ull << 20);
    assert_true(c->memory->thp && c->rng->enabled);
    assert_string_equal(c->disks[0]->id, "disk0");
    assert_int_equal(c->disks[0]->num_queues, 1);
    assert_int_equal(c->disks[0]->queue_size, 128);
    assert_int_equal(c->nets[0]->num_queues, 2);
    assert_int_equal(c->nets[0]->queue_size, 256);
    assert_int_equal(c->nets[1]->num_queues, 6); /* as many pairs as descriptors */
    assert_string_equal(c->nets[1]->id, "net1");
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
        cmocka_unit_test(test_hostfwd),  cmocka_unit_test(test_forwards),
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_weights_of_a_tenants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
