// SPDX-License-Identifier: Apache-2.0
// test_options.c - the command line's parsers: tables of right and wrong input.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "ipc/cpu_bits.h"
#include "options/keyvalue.h"
#include "options/nearest.h"
#include "options/run_flags.h"

#include <cmocka.h>

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int want;
        uint64_t bytes;
    } cases[] = {
        { "0", 0, 0 },
        { "4096", 0, 4096 },
        { "512M", 0, 512ull << 20 },
        { "1g", 0, 1ull << 30 },
        { "2T", 0, 2ull << 40 },
        { "16777215T", 0, 16777215ull << 40 }, /* the largest that fits */
        { "16777216T", -1, 0 },                /* 2^64 */
        { "18446744073709551616", -1, 0 },
        { "", -1, 0 },
        { "M", -1, 0 },
        { "-1", -1, 0 },
        { "+1", -1, 0 },
        { " 1", -1, 0 },
        { "1 M", -1, 0 },
        { "1MB", -1, 0 },
        { "1.5G", -1, 0 },
        { "0x10", 0, 16 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t v = 0;

        if (option_size(cases[i].text, &v) != cases[i].want ||
            (cases[i].want == 0 && v != cases[i].bytes))
            fail_msg("'%s' gave %llu", cases[i].text, (unsigned long long)v);
    }
}

static void test_mac(void **state)
{
    static const char *const bad[] = { "",
                                       "52:54:00:12:34",
                                       "52:54:00:12:34:56:",
                                       "52:54:00:12:34:5g",
                                       "525400123456",
                                       "52:54:00:12:34:567" };
    static const uint8_t want[6] = { 0x52, 0x54, 0, 0xAB, 0x34, 0x56 };
    uint8_t mac[6];

    (void)state;
    assert_int_equal(option_mac("52:54:00:aB:34:56", mac), 0);
    assert_memory_equal(mac, want, 6);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(option_mac(bad[i], mac), -1);
}

static void test_nearest(void **state)
{
    static const char *const words[] = { "run", "ps", "plan", "pause", "readonly", "memory" };
    static const struct {
        const char *word;
        const char *want;
    } cases[] = {
        { "rnu", "run" },    { "pasue", "pause" }, { "readony", "readonly" },
        { "mem", "memory" }, { "zzzzzz", NULL },   { "plna", "plan" },
    };

    (void)state;
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("abc", "acb"), 1);
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct nearest n = nearest_to(cases[i].word);

        for (size_t j = 0; j < ARRAY_SIZE(words); j++)
            nearest_try(&n, words[j]);
        if (cases[i].want)
            assert_string_equal(nearest_found(&n), cases[i].want);
        else
            assert_null(nearest_found(&n));
    }
}

/* Splits at blanks; the parts live in a static buffer. */
static int parse(struct vm_options *o, const char *line, struct option_error *err)
{
    static char buffer[1024];
    char *argv[40];
    int argc = 0;

    snprintf(buffer, sizeof(buffer), "run %s", line);
    for (char *p = strtok(buffer, " "); p && argc < 39; p = strtok(NULL, " "))
        argv[argc++] = p;
    argv[argc] = NULL;
    return vm_options_parse(o, argc, argv, err);
}

static void test_bad_lines(void **state)
{
    static const struct {
        const char *line;
        const char *part; /* what the message must say */
    } cases[] = {
        { "", "--kernel is missing" },
        { "--kernl k", "the nearest is '--kernel'" },
        { "--kernel", "--kernel needs a value" },
        { "--no-reboot=1 --kernel k", "takes no value" },
        { "--kernel k stray", "unexpected argument 'stray'" },
        { "--kernel k --cpus boot=0", "out of range" },
        { "--kernel k --cpus boot=65", "out of range" },
        { "--kernel k --cpus 4", "unknown option '4'" },
        { "--kernel k --cpus boot", "boot needs a value" },
        { "--kernel k --cpus boot=", "boot= is empty" },
        { "--kernel k --cpus affinity=0", "is to be VCPU@[HOST CPUS]" },
        { "--kernel k --cpus affinity=[0@[]]", "is to be VCPU@[HOST CPUS]" },
        { "--kernel k --cpus affinity=[0@[1],]", "empty entry" },
        { "--kernel k --cpus affinity=[a@[1]]", "is to be VCPU@[HOST CPUS]" },
        { "--kernel k --cpus affinity=[0@[1],1@[x]]", "affinity=1@[x]: 'x' is no CPU" },
        { "--kernel k --cpus affinity=[0@[1,]]", "'' is no CPU" },
        { "--kernel k --cpus affinity=[0@[3-1]]", "3-1 runs backwards" },
        { "--kernel k --cpus affinity=[0@[1-3,2]]", "host CPU 2 is given twice" },
        { "--kernel k --cpus affinity=[0@[0-1024]]", "host CPU 1024 is over 1023" },
        { "--kernel k --cpus affinity=[0@[1]", "left open" },
        { "--kernel k --limits cpuset=x", "--limits: cpuset=x: 'x' is no CPU" },
        { "--kernel k --limits cpuset=[1,0-2]", "host CPU 1 is given twice" },
        { "--kernel k --limits cpu=1", "unknown option 'cpu'" },
        { "--kernel k --limits cpu_max=0", "out of range" },
        { "--kernel k --limits cpu_max=%", "cpu_max=% is not a number" },
        { "--kernel k --limits cpu_max=1.5", "is not a number" },
        { "--kernel k --limits memory_max=lots", "is not a size" },
        { "--kernel k --limits pids_max=5%", "is not a number" },
        { "--kernel k --memory size=0", "out of range" },
        { "--kernel k --memory size=512M,size=1G", "given twice" },
        { "--kernel k --memory size=536870913", "not a multiple of the page" },
        { "--kernel k --memory size=17M,hugepages=on", "not a multiple of the page" },
        { "--kernel k --memory size=lots", "is not a size" },
        { "--kernel k --memory thp=maybe", "say on or off" },
        { "--kernel k --disk readonly=on", "path= is missing" },
        { "--kernel k --disk path=a,readony=on", "the nearest is 'readonly'" },
        { "--kernel k --disk path=a,,readonly=on", "an empty option" },
        { "--kernel k --disk path=a,num_queues=17", "out of range" },
        { "--kernel k --disk path=a,serial=123456789012345678901", "21 bytes long" },
        { "--kernel k --disk path=a,bw_size=1M", "belong together" },
        { "--kernel k --disk path=a,bw_size=0,bw_refill_time=1", "out of range" },
        { "--kernel k --disk path=a,bw_size=1,bw_refill_time=0", "out of range" },
        { "--kernel k --disk path=a,rate_limit_group=g", "no --rate-limit-group id=g" },
        { "--kernel k --disk path=\"a", "left open" },
        { "--kernel k --net user,tap=t", "user excludes" },
        { "--kernel k --net tap=interface-name-too-long", "bytes long" },
        { "--kernel k --net mac=01:00:5e:00:00:01", "multicast" },
        { "--kernel k --net mac=00:00:00:00:00:00", "multicast or empty" },
        { "--kernel k --net mtu=67", "out of range" },
        { "--kernel k --net num_queues=3", "odd" },
        { "--kernel k --net fd=[3,4],num_queues=2", "don't fit" },
        { "--kernel k --net fd=[3,]", "empty entry" },
        { "--kernel k --net ip=1.2.3", "not an IPv4" },
        { "--kernel k --net tap=t,hostfwd=tcp::1-:2", "needs user" },
        { "--kernel k --vsock cid=2,socket=s", "out of range" },
        { "--kernel k --vsock cid=3", "both needed" },
        { "--kernel k --balloon size=1000", "not a multiple" },
        { "--kernel k --rng off,src=/dev/urandom", "off excludes" },
        { "--kernel k --rng src=/etc/passwd", "kernel only" },
        { "--kernel k --serial tty,null", "say one of" },
        { "--kernel k --serial file", "file needs a value" },
        { "--kernel k --serial ttyy", "the nearest is 'tty'" },
        { "--kernel k --serial tty --console tty", "can't both be the tty" },
        { "--kernel k --json --serial tty", "share stdout" },
        { "--kernel k --name .hidden", "is no name" },
        { "--kernel k --name a/b", "is no name" },
        { "--kernel k --crash-limit 0", "not a number from" },
        { "--kernel k --event-monitor path=a,fd=3", "not both" },
        { "--kernel k --cpus boot=1,max=4", "max=4 with boot=1 is not supported yet" },
        { "--kernel k --cpus boot=4,max=2", "max=2 is less than boot=4" },
        { "--kernel k --cpus boot=1,topology=1:1:1:1", "topology= is not supported yet" },
        { "--kernel k --memory mergeable=on", "mergeable=on is not supported yet" },
        { "--kernel k --disk path=a,image_type=qcow2",
          "image_type=qcow2 is not supported yet: raw is" },
        { "--kernel k --disk path=a,socket=s", "socket= is not supported yet" },
        { "--kernel k --net vhost_user=on", "vhost_user=on is not supported yet" },
        { "--kernel k --net num_queues=", "num_queues= is empty" },
        { "--kernel k --firmware F", "--firmware is not supported yet" },
        { "--kernel k --watchdog", "--watchdog is not supported yet" },
        { "--kernel k --fs tag=a,socket=b", "--fs is not supported yet" },
        { "--kernel k --seccomp false", "can't be turned off" },
        { "--kernel k --seccomp log", "can't be turned off" },
        { "--kernel k --debug-console tty", "not supported yet" },
        { "--kernel k --log-file", "needs a value" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vm_options o;
        struct option_error err = { "" };
        int r = parse(&o, cases[i].line, &err);

        if (r == 0 || !strstr(err.text, cases[i].part) || strchr(err.text, '\n'))
            fail_msg("'%s' gave %d '%s', not '%s'", cases[i].line, r, err.text, cases[i].part);
        vm_options_deinit(&o);
    }
}

static void test_defaults(void **state)
{
    struct option_error err;
    struct vm_options o;

    (void)state;
    assert_int_equal(parse(&o, "--kernel k", &err), 0);
    /* What was not given is not said: the broker knows the defaults. */
    assert_int_equal(o.config.cpus->boot_vcpus, 0);
    assert_int_equal(o.config.memory->size, 0);
    assert_int_equal(o.config.serial->mode, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY);
    assert_int_equal(o.config.console->mode, BULKHEAD__CONSOLE_MODE__CONSOLE_OFF);
    assert_true(o.config.rng->enabled);
    assert_string_equal(o.config.cmdline, "console=ttyS0");
    assert_true(vm_options_uses_tty(&o));
    vm_options_deinit(&o);
    assert_int_equal(parse(&o, "--kernel k --console tty", &err), 0);
    assert_int_equal(o.config.serial->mode, BULKHEAD__CONSOLE_MODE__CONSOLE_NULL);
    assert_string_equal(o.config.cmdline, "console=hvc0");
    vm_options_deinit(&o);
    assert_int_equal(parse(&o, "--kernel k --json", &err), 0);
    assert_int_equal(o.config.serial->mode, BULKHEAD__CONSOLE_MODE__CONSOLE_NULL);
    vm_options_deinit(&o);
}

static void test_full_line(void **state)
{
    struct option_error err = { "" };
    struct vm_options o;

    (void)state;
    assert_int_equal(
        parse(&o,
              "--kernel k --initramfs i --cpus boot=4 --memory size=1G,hugepages=on "
              "--disk path=\"a,b\",readonly=on,direct=true path=c,num_queues=4,serial=S1 "
              "--rate-limit-group id=g,ops_size=10,ops_refill_time=100 "
              "--disk path=d,rate_limit_group=g "
              "--net user,hostfwd=[tcp::1-:2,udp::3-:4],mac=52:54:00:00:00:01 "
              "--vsock cid=7,socket=/run/s --balloon size=64M,deflate_on_oom=on "
              "--limits cpu_max=150%,cpu_weight=50,memory_max=2G,io_weight=200,pids_max=300 "
              "--serial file=/x --console off --name vm.1 --no-reboot -v",
              &err),
        0);
    assert_int_equal(o.config.n_disks, 3);
    assert_string_equal(o.config.disks[0]->path, "a,b");
    assert_true(o.config.disks[0]->readonly && o.config.disks[0]->direct);
    assert_string_equal(o.config.disks[1]->id, "");
    assert_int_equal(o.config.disks[1]->queue_size, 0);
    assert_int_equal(o.config.disks[1]->num_queues, 4);
    assert_string_equal(o.config.disks[2]->rate_limit_group, "g");
    assert_int_equal(o.config.rate_limit_groups[0]->limit->ops->refill_time_ms, 100);
    assert_null(o.config.rate_limit_groups[0]->limit->bandwidth);
    assert_int_equal(o.config.n_nets, 1);
    assert_string_equal(o.config.nets[0]->mode, "user");
    assert_int_equal(o.config.nets[0]->n_hostfwd, 2);
    assert_string_equal(o.config.nets[0]->hostfwd[1], "udp::3-:4");
    assert_int_equal(o.config.nets[0]->mac.len, 6);
    assert_int_equal(o.config.vsock->cid, 7);
    assert_int_equal(o.config.balloon->size, 64ull << 20);
    assert_string_equal(o.config.serial->path, "/x");
    assert_int_equal(o.config.limits->cpu_max, 150);
    assert_int_equal(o.config.limits->memory_max, 2ull << 30);
    assert_int_equal(o.config.limits->io_weight, 200);
    assert_string_equal(o.config.name, "vm.1");
    assert_true(o.config.no_reboot && o.verbose);
    vm_options_deinit(&o);
}

static void test_affinity(void **state)
{
    static const struct {
        uint32_t vcpu;
        const char *cpus;
    } want[] = { { 0, "2-3" }, { 3, "0,4-6,1023" }, { 1, "8" } };
    struct option_error err = { "" };
    struct vm_options o;
    char is[256];

    (void)state;
    assert_int_equal(
        parse(&o, "--kernel k --cpus boot=4,affinity=[0@[2-3],3@[0,4-5,6,1023],1@8]", &err), 0);
    assert_int_equal(o.config.cpus->n_affinity, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(o.config.cpus->affinity[i]->vcpu, want[i].vcpu);
        assert_string_equal(cpu_bits_say(&o.config.cpus->affinity[i]->host_cpus, is, sizeof(is)),
                            want[i].cpus);
    }
    assert_string_equal(cpu_bits_say(&o.config.cpus->affinity[1]->host_cpus, is, 6), "0,4-6");
    assert_string_equal(cpu_bits_say(&o.config.cpus->affinity[1]->host_cpus, is, 5), "0");
    vm_options_deinit(&o);
    assert_int_equal(
        parse(&o, "--kernel k --limits cpuset=[5,0-3] --limits cpu_weight=3 --limits cpuset=7",
              &err),
        0);
    assert_string_equal(cpu_bits_say(&o.config.limits->cpuset, is, sizeof(is)), "7");
    assert_int_equal(o.config.limits->cpu_weight, 3);
    vm_options_deinit(&o);
}

/* Lines of Cloud Hypervisor's guide and of its clients, which say what is so here anyway. */
static void test_lines_for_cloud_hypervisor(void **state)
{
    static const char *const lines[] = {
        "--kernel k --net tap=,mac=,ip=,mask=",
        "--kernel k --rng",
        "--kernel k --rng --serial off",
        "--kernel k --rng src=/dev/urandom --serial off",
        "--kernel k --rng=src=/dev/urandom",
        "--kernel k --cpus boot=1,max=1",
        "--kernel k --cpus max=1",
        "--kernel k --cpus boot=2,kvm_hyperv=off,core_scheduling=off",
        "--kernel k --memory size=512M,shared=on,mergeable=off,hotplug_method=acpi,hotplug_size=0",
        "--kernel k --memory shared=off,hugepages=on,hugepage_size=2M",
        "--kernel k --disk "
        "path=a,image_type=raw,sparse=on,iommu=off,backing_files=off,pci_segment=0",
        "--kernel k --disk "
        "path=a,image_type=Raw,_disable_io_uring=on,_disable_aio=on,vhost_user=false",
        "--kernel k --net vhost_user=off,vhost_mode=client,iommu=off,tap=t",
        "--kernel k --net fd=[3,4]",
        "--kernel k --console off,iommu=off --serial null",
        "--kernel k --seccomp true --landlock --debug-console off",
        "--kernel k -vv --log-file F",
        "--kernel k -v -v --verbose",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct option_error err = { "" };
        struct vm_options o;

        if (parse(&o, lines[i], &err) < 0)
            fail_msg("'%s': %s", lines[i], err.text);
        vm_options_deinit(&o);
    }
}

static void test_empty_is_as_if_left_out(void **state)
{
    struct option_error err = { "" };
    struct vm_options o;

    (void)state;
    assert_int_equal(parse(&o, "--kernel k --net tap=,mac=,ip=,mask=", &err), 0);
    assert_int_equal(o.config.n_nets, 1);
    assert_string_equal(o.config.nets[0]->tap, "");
    assert_int_equal(o.config.nets[0]->mac.len, 0);
    assert_int_equal(o.config.nets[0]->ip, 0);
    vm_options_deinit(&o);
    assert_int_equal(parse(&o, "--kernel k --rng --disk path=p", &err), 0);
    assert_true(o.config.rng->enabled);
    assert_int_equal(o.config.n_disks, 1);
    vm_options_deinit(&o);
}

/* Wherever a path goes it may have commas and blanks in it, and brackets. */
static void test_paths_with_commas_and_blanks(void **state)
{
    static const char path[] = "/a, b/[c";
    char *argv[] = { (char[]){ "run" },
                     (char[]){ "--kernel" },
                     (char[]){ "/a, b/[c" },
                     (char[]){ "--initramfs" },
                     (char[]){ "/a, b/[c" },
                     (char[]){ "--disk" },
                     (char[]){ "path=\"/a, b/[c\",readonly=on" },
                     (char[]){ "readonly=off,path=\"/a, b/[c\"" },
                     (char[]){ "--serial" },
                     (char[]){ "file=\"/a, b/[c\"" },
                     (char[]){ "--console" },
                     (char[]){ "socket=\"/a, b/[c\"" },
                     (char[]){ "--vsock" },
                     (char[]){ "cid=3,socket=\"/a, b/[c\"" },
                     (char[]){ "--event-monitor" },
                     (char[]){ "path=\"/a, b/[c\"" },
                     (char[]){ "--log-file" },
                     (char[]){ "/a, b/[c" },
                     NULL };
    struct option_error err = { "" };
    struct vm_options o;

    (void)state;
    if (vm_options_parse(&o, ARRAY_SIZE(argv) - 1, argv, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(o.config.kernel, path);
    assert_string_equal(o.config.initramfs, path);
    assert_string_equal(o.config.disks[0]->path, path);
    assert_string_equal(o.config.disks[1]->path, path);
    assert_string_equal(o.config.serial->path, path);
    assert_string_equal(o.config.console->path, path);
    assert_string_equal(o.config.vsock->socket, path);
    assert_string_equal(o.event_path, path);
    assert_string_equal(o.log_path, path);
    vm_options_deinit(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_mac),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_full_line),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_lines_for_cloud_hypervisor),
        cmocka_unit_test(test_empty_is_as_if_left_out),
        cmocka_unit_test(test_paths_with_commas_and_blanks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
