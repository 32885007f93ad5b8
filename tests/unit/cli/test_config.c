/* SPDX-License-Identifier: Apache-2.0 */
/* test_config.c - a VM in a file: JSON and YAML of Cloud Hypervisor's fields say what the flags say, and what is wrong in
 * one is said in one line that names file, field and a way out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "options/run_flags.h"
#include "vmconfig/describe.h"
#include "vmconfig/load.h"
#include "vmconfig/translate.h"

static char path[] = "/tmp/bulkhead-config.XXXXXX";

static void write_file(const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static size_t pack(char **argv, uint8_t *bytes, size_t max)
{
    struct option_error err = { "" };
    struct vm_options o;
    int argc = 0;
    size_t len;

    while (argv[argc])
        argc++;
    if (vm_options_parse(&o, argc, argv, &err) < 0)
        fail_msg("%s", err.text);
    len = bulkhead__vm_config__get_packed_size(&o.config);
    assert_true(len <= max);
    bulkhead__vm_config__pack(&o.config, bytes);
    vm_options_deinit(&o);
    return len;
}

/* What describe_config() writes is the same VM again. */
static void is_described(char **flags)
{
    char *argv[] = { (char[]){ "run" }, (char[]){ "--config" }, path, NULL };
    static uint8_t of_file[16384], of_flags[16384];
    size_t n, m = pack(flags, of_flags, sizeof of_flags);
    Bulkhead__VmConfig *config = bulkhead__vm_config__unpack(NULL, m, of_flags);
    json_t *described = describe_config(config);
    char *text = json_dumps(described, 0);

    bulkhead__vm_config__free_unpacked(config, NULL);
    json_decref(described);
    write_file(text);
    n = pack(argv, of_file, sizeof of_file);
    if (n != m || memcmp(of_file, of_flags, n) != 0)
        fail_msg("it is another VM: %s", text);
    free(text);
}

/* The file, and perhaps a flag behind it, is the same VM as the flags are. */
static void is_the_same(const char *text, char *more, char **flags)
{
    char *argv[] = { (char[]){ "run" }, (char[]){ "--config" }, path, more, NULL };
    static uint8_t of_file[16384], of_flags[16384];
    size_t n, m;

    write_file(text);
    n = pack(argv, of_file, sizeof of_file);
    m = pack(flags, of_flags, sizeof of_flags);
    assert_int_equal(n, m);
    assert_memory_equal(of_file, of_flags, n);
    is_described(flags);
}

#define FLAGS(...) ((char *[]){ (char[]){ "run" }, __VA_ARGS__, NULL })
#define W(text) ((char[]){ text })

static const char whole_json[] =
    "{\"name\":\"web\",\"payload\":{\"kernel\":\"/k\",\"initramfs\":\"/"
    "i\",\"cmdline\":\"a=\\\"b\\\" "
    "c,d\",\"firmware\":null},\"cpus\":{\"boot_vcpus\":2,\"max_vcpus\":2,\"topology\":null,"
    "\"affinity\":[{\"vcpu\":1,\"host_cpus\":[2,3]},{\"vcpu\":0,\"host_cpus\":[9]}],"
    "\"kvm_hyperv\":false,\"features\":{\"amx\":false}},\"memory\":{\"size\":536870912,\"shared\":"
    "true,"
    "\"hotplug_method\":\"Acpi\",\"hotplug_size\":0,\"zones\":[]},\"rate_limit_groups\":[{\"id\":"
    "\"g\","
    "\"rate_limiter_config\":{\"ops\":{\"size\":100,\"refill_time\":1000}}}],\"disks\":[{\"path\":"
    "\"/"
    "a,b=c.raw\",\"readonly\":true,\"num_queues\":2,\"image_type\":\"Raw\",\"vhost_socket\":null,"
    "\"rate_limiter_config\":{\"bandwidth\":{\"size\":4096,\"one_time_burst\":1,\"refill_time\":10}"
    ","
    "\"ops\":null},\"id\":\"root\"},{\"path\":\"/d\",\"rate_limit_group\":\"g\",\"serial\":\"\"}],"
    "\"net\":[{\"tap\":\"t0\",\"mac\":\"52:54:00:00:00:01\",\"ip\":\"10.0.0.1\",\"mask\":"
    "\"255.255.255.0\",\"offload_tso\":false,\"vhost_mode\":\"Client\",\"fds\":null}],\"vsock\":{"
    "\"cid\":3,\"socket\":\"/"
    "s\"},\"balloon\":{\"size\":0,\"deflate_on_oom\":true},\"rng\":{\"src\":"
    "\"/dev/urandom\",\"iommu\":false},\"serial\":{\"mode\":\"Socket\",\"socket\":\"/tty\"},"
    "\"console\":{\"mode\":\"Pty\",\"file\":null},\"fs\":[],\"watchdog\":false,\"landlock_enable\":"
    "true,"
    "\"debug_console\":{\"mode\":\"Off\",\"iobase\":233},\"no_reboot\":true,\"crash_limit\":7}";

static void json_is_flags(void **state)
{
    (void)state;
    is_the_same(
        whole_json, NULL,
        FLAGS(W("--name"), W("web"), W("--kernel"), W("/k"), W("--initramfs"), W("/i"),
              W("--cmdline"), W("a=\"b\" c,d"), W("--cpus"), W("boot=2,affinity=[1@[2-3],0@[9]]"),
              W("--memory"), W("size=512M"), W("--rate-limit-group"),
              W("id=g,ops_size=100,ops_refill_time=1000"), W("--disk"),
              W("path=\"/a,b=c.raw\",readonly=on,num_queues=2,bw_size=4096,bw_one_time_burst=1,bw_"
                "refill_time=10,id=root"),
              W("path=/d,rate_limit_group=g"), W("--net"),
              W("tap=t0,mac=52:54:00:00:00:01,ip=10.0.0.1,mask=255.255.255.0,offload_tso=off"),
              W("--vsock"), W("cid=3,socket=/s"), W("--balloon"), W("size=0,deflate_on_oom=on"),
              W("--rng"), W("--serial"), W("socket=/tty"), W("--console"), W("pty"),
              W("--no-reboot"), W("--crash-limit"), W("7"), W("--rng=src=/dev/urandom")));
}

static void yaml_is_flags(void **state)
{
    (void)state;
    is_the_same("# a VM\n"
                "name: web\n"
                "payload: &p {kernel: /k}\n"
                "memory: {size: 1G}\n"
                "disks:\n"
                "- path: /d0\n"
                "  direct: true\n"
                "- {path: '0777', id: null}\n"
                "net:\n"
                "- user: true\n"
                "  hostfwd: ['tcp:127.0.0.1:2222-:22', 'udp::53-:53']\n"
                "cpus: {boot_vcpus: 1, max_phys_bits: 46}\n"
                "limits: {cpu_max: 150%, memory_max: 3G, pids_max: 200, cpu_weight: null, cpuset: "
                "'0-3,8'}\n"
                "console: {mode: Null}\n"
                "serial: {mode: File, file: /tty}\n",
                W("--memory=size=2G"),
                FLAGS(W("--name"), W("web"), W("--kernel"), W("/k"), W("--memory"), W("size=2G"),
                      W("--limits"), W("cpu_max=150,memory_max=3G,pids_max=200,cpuset=[0-3,8]"),
                      W("--disk"), W("path=/d0,direct=on"), W("path=0777"), W("--net"),
                      W("user,hostfwd=[tcp:127.0.0.1:2222-:22,udp::53-:53]"), W("--serial"),
                      W("file=/tty"), W("--cpus"), W("boot=1"), W("--console"), W("null")));
}

/* What the others don't have. */
static void all_is_described(void **state)
{
    (void)state;
    is_described(FLAGS(
        W("--name"), W("web"), W("--kernel"), W("/k"), W("--cpus"),
        W("boot=4,nested=on,affinity=[0@[2-3],3@[0,7]]"), W("--memory"),
        W("size=2G,hugepages=on,prefault=on,thp=off"), W("--limits"),
        W("cpu_max=150%,cpu_weight=1,memory_max=3G,io_weight=2,pids_max=300"), W("--rng"), W("off"),
        W("--serial"), W("tty"), W("--console"), W("file=/c"), W("--disk"),
        W("path=/d,direct=on,queue_size=64,logical_block_size=4096,serial=abc,disable_io_"
          "uring=on,ops_size=5,ops_refill_time=6"),
        W("--net"), W("macvtap,tap=m0,mac=52:54:00:00:00:01,mtu=1400,num_queues=4,queue_size=512"),
        W("tap=t1,host_mac=52:54:00:00:00:02,ip=10.0.0.1,offload_csum=off,offload_ufo=off,mac_"
          "filter=on,disable_io_uring=on,bw_size=5,bw_refill_time=6,id=lan"),
        W("--balloon"), W("size=16M,free_page_reporting=on"), W("--vsock"),
        W("cid=7,socket=/v,id=v"), W("--insecure"), W("--audit"), W("--crash-limit"), W("3"),
        W("--crash-window"), W("4"), W("--hang-timeout"), W("500"), W("--stall-timeout"),
        W("600")));
    is_described(FLAGS(W("--name"), W("w"), W("--kernel"), W("/k"), W("--net"), W("tap="),
                       W("--serial"), W("off"), W("--no-reboot")));
}

/* ---- what is wrong ---- */

static void is_refused(const char *text, const char *want)
{
    struct option_error err = { "" };
    struct bag bag = { 0 };
    struct config_source source = { .file = "vm.yaml", .path = "" };
    json_t *config = load_text("vm.yaml", text, strlen(text), &source.lines, &err);
    struct config_flags flags;

    if (config && translate_config(&source, config, &bag, &flags, &err) == 0)
        fail_msg("it was taken: %s", text);
    if (!strstr(err.text, want) || strncmp(err.text, "vm.yaml:", 8) != 0 || strchr(err.text, '\n'))
        fail_msg("'%s' for %s", err.text, text);
    lines_deinit(&source.lines);
    json_decref(config);
    bag_free(&bag);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    is_refused("", "empty");
    is_refused("# nothing\n", "empty");
    is_refused("[1]", "is to be an object");
    is_refused("disk: []", "disk: there is no such field: is 'disks' meant?");
    is_refused("cpus: {boot_vcpu: 1}",
               "cpus.boot_vcpu: there is no such field: is 'boot_vcpus' meant?");
    is_refused("limits: {cpu_max: [1]}",
               "limits.cpu_max: is to be a number of percent, or a text as in \"150%\"");
    is_refused("limits: {cpuset: [1]}",
               "limits.cpuset: is to be a text of host CPUs, as in \"0-3,8\"");
    is_refused("limits: {cpuset: '0]'}", "limits.cpuset: is to be a text of host CPUs");
    is_refused("limits: {memory: 1G}",
               "limits.memory: there is no such field: is 'memory_max' meant?");
    is_refused("cpus: {affinity: 1}", "cpus.affinity: is to be a list");
    is_refused("cpus: {affinity: [{vcpu: 0, host_cpu: [1]}]}",
               "cpus.affinity[0].host_cpu: there is no such field: is 'host_cpus' meant?");
    is_refused("cpus: {affinity: [{vcpu: 0}]}",
               "cpus.affinity[0].vcpu, host_cpus: are to be a number and a list of numbers");
    is_refused("cpus: {affinity: [{vcpu: 0, host_cpus: ['1']}]}",
               "cpus.affinity[0].host_cpus: is to be a list of numbers");
    is_refused("disks: [{path: /d}, {qqqqqqqqqq: 1}]",
               "disks[1].qqqqqqqqqq: there is no such field");
    is_refused("disks: {path: /d}", "disks: is to be a list");
    is_refused("disks: [/d]", "disks[0]: is to be an object");
    is_refused("disks: [{path: 5}]", "disks[0].path: is to be a text");
    is_refused("disks: [{path: '/a\"b'}]", "disks[0].path: a double quote");
    is_refused("disks: [{readonly: yes}]", "disks[0].readonly: is to be true or false");
    is_refused("cpus: {boot_vcpus: two}", "cpus.boot_vcpus: is to be a whole number");
    is_refused("cpus: {boot_vcpus: -1}", "cpus.boot_vcpus: is to be a whole number");
    is_refused("{\"memory\": {\"size\": 1.5}}", "memory.size: is to be a number of bytes");
    is_refused("memory: {zones: [{id: a}]}", "memory.zones: is not supported yet");
    is_refused("payload: {firmware: /f}", "payload.firmware: is not supported yet");
    is_refused("watchdog: true", "watchdog: is not supported yet");
    is_refused("net: [{fds: [3]}]", "net[0].fds: is not supported yet");
    is_refused("disks: [{path: /d, rate_limiter_config: {ops: {sice: 1}}}]",
               "disks[0].rate_limiter_config.sice: there is no such field: is 'size' meant?");
    is_refused("net: [{user: true, hostfwd: ['a,b']}]", "net[0].hostfwd: is to be a list of texts");
}

/* YAML and JSON alike; a list's part, a part of an alias, what is missing. */
static void the_line_is_named(void **state)
{
    (void)state;
    is_refused("payload:\n  kernel: /k\n\n  initrd: /i\n",
               "vm.yaml:4: payload.initrd: there is no such field");
    is_refused("disks:\n- path: /a\n- path: /b\n  readonly: 1\n",
               "vm.yaml:4: disks[1].readonly: is to be");
    is_refused("disks:\n- &d {path: 1}\n- *d\n", "vm.yaml:2: disks[0].path: is to be");
    is_refused("disks:\n- path: /d\n  rate_limiter_config:\n    ops:\n      sice: 1\n",
               "vm.yaml:3: disks[0].rate_limiter_config.sice: there is");
    is_refused("cpus:\n  affinity:\n  - {vcpu: 0, host_cpus: [0]}\n  - {vcpu: 1}\n",
               "vm.yaml:4: cpus.affinity[1].vcpu, host_cpus: are to be");
    is_refused("{\"payload\": {\"kernel\": \"/k\"},\n\t\"memory\":\n {\"sice\": 1}}",
               "vm.yaml:3: memory.sice: there is no such field");
    is_refused("\n[1]", "vm.yaml:2: is to be an object");
}

static void the_text_is_bounded(void **state)
{
    char deep[256] = "";

    (void)state;
    is_refused("name: a\nname: b\n", "vm.yaml:2: 'name' is given twice");
    is_refused("{\"name\":\"a\",\"name\":\"b\"}", "duplicate object key");
    is_refused("{\"name\":\n\n", "vm.yaml:3: ");
    is_refused("a: [", "vm.yaml:2: ");
    is_refused("name: a\n---\nname: b\n", "several documents");
    is_refused("? [a]\n: b\n", "a key that is not a word");
    for (unsigned i = 0; i < 60; i++)
        strcat(deep, "[");
    for (unsigned i = 0; i < 60; i++)
        strcat(deep, "]");
    is_refused(deep, "too deep");
    is_refused("a: &a [1,1,1,1,1,1,1,1,1,1]\n"
               "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
               "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
               "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
               "e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
               "too much, with all that its aliases stand for");
}

static void a_file_that_cant_be_read(void **state)
{
    struct option_error err = { "" };

    (void)state;
    assert_null(load_file("/nonexistent/vm.yaml", NULL, &err));
    assert_non_null(strstr(err.text, "/nonexistent/vm.yaml: No such file"));
    assert_null(load_file("/tmp", NULL, &err));
    assert_non_null(strstr(err.text, "/tmp: Is a directory"));
    assert_null(load_file("/dev/zero", NULL, &err));
    assert_non_null(strstr(err.text, "longer than"));
}

/* Of a value too, and whoever gives a flag before the file is told that it would be lost. */
static void the_file_is_named(void **state)
{
    char *argv[] = { W("run"), W("--config"), path, NULL };
    char *late[] = { W("run"), W("--memory=size=2G"), W("--config"), path, NULL };
    struct option_error err = { "" };
    struct vm_options o;

    (void)state;
    write_file("payload: {kernel: /k}\nmemory: {size: 1Q}\n");
    assert_int_equal(vm_options_parse(&o, 3, argv, &err), -1);
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
    vm_options_deinit(&o);
    assert_int_equal(vm_options_parse(&o, 4, late, &err), -1);
    assert_non_null(strstr(err.text, "--config comes first"));
    vm_options_deinit(&o);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_flags),       cmocka_unit_test(yaml_is_flags),
        cmocka_unit_test(all_is_described),    cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(the_text_is_bounded), cmocka_unit_test(a_file_that_cant_be_read),
        cmocka_unit_test(the_file_is_named),   cmocka_unit_test(the_line_is_named),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
