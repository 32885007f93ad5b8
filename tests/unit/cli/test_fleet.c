// SPDX-License-Identifier: Apache-2.0
// test_fleet.c - a fleet's manifests: what is read of them, each fault in its line, who waits for whom, what two can't have.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fleet/files.h"
#include "fleet/manifest.h"
#include "fleet/order.h"
#include "fleet/show.h"
#include "vmconfig/load.h"

static const char *config_file_text; /* what a config_file has; NULL: it isn't there */

static json_t *load(const char *dir, const char *path, struct bag *bag, const char **ret_dir,
                    struct lines *ret_lines, struct option_error *err)
{
    if (!config_file_text) {
        option_fail(err, "%s: not there", path);
        return NULL;
    }
    *ret_dir = bag_printf(bag, "%s/below", dir);
    return load_text(path, config_file_text, strlen(config_file_text), ret_lines, err);
}

static bool identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
    *ret_dev = 1;
    *ret_ino = 7;
    return strncmp(path, "/same/", 6) == 0;
}

static void read_text(struct fleet *fleet, const char *file, const char *text)
{
    struct manifest_source source = { .file = file, .dir = "/srv/fleet", .load = load };
    struct option_error err;
    json_t *root = load_text(file, text, strlen(text), &source.lines, &err);

    if (!root)
        fail_msg("%s", err.text);
    manifest_read(fleet, &source, root);
    lines_deinit(&source.lines);
    json_decref(root);
}

static void read_fleet(struct fleet *fleet, const char *text)
{
    *fleet = (struct fleet){ 0 };
    read_text(fleet, "f", text);
    order_check(fleet, identify);
}

/* All faults, one line each. */
static const char *faults_of(const struct fleet *fleet)
{
    static char text[8192];

    text[0] = '\0';
    for (size_t i = 0; i < fleet->faults.n; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", fleet->faults.lines[i]);
    return text;
}

#define K "config: {payload: {kernel: k}}"

static void test_read(void **state)
{
    struct fleet fleet;
    const struct fleet_vm *vm;

    (void)state;
    config_file_text = "name: other\npayload: {kernel: k}\nserial: {mode: Tty}\n";
    read_fleet(&fleet,
               "tenant: acme\n"
               "vms:\n"
               "- name: web\n"
               "  config: {name: web, payload: {kernel: k, initramfs: ../i}, disks: [{path: ./d}, "
               "{path: /d}], vsock: {cid: 3, socket: s}}\n"
               "  labels: {tier: front, zone: '1'}\n"
               "  after: [db, {vm: net, when: started}, other/x]\n"
               "  ready: {vsock: 80, timeout_s: 7}\n"
               "- {name: db, config_file: db.yaml, ready: {console: up}, restart: no, cpus: null}\n"
               "- {name: net, " K ", ready: {console_regex: '^up$'}, autostart: true}\n"
               "- {name: x, tenant: other, " K "}\n");
    assert_string_equal(faults_of(&fleet), "");
    assert_int_equal(fleet.n, 4);
    vm = fleet.vms[0];
    assert_string_equal(vm->name, "acme/web");
    assert_string_equal(vm->options.config.name, "web");
    assert_string_equal(vm->options.config.kernel, "/srv/fleet/k");
    assert_string_equal(vm->options.config.initramfs, "/srv/i");
    assert_string_equal(vm->options.config.disks[0]->path, "/srv/fleet/d");
    assert_string_equal(vm->options.config.disks[1]->path, "/d");
    assert_string_equal(vm->options.config.vsock->socket, "/srv/fleet/s");
    assert_int_equal(vm->options.n_labels, 2);
    assert_string_equal(vm->options.labels[0]->key, "tier");
    assert_string_equal(vm->options.labels[1]->value, "1");
    assert_int_equal(vm->ready.kind, READY_VSOCK);
    assert_int_equal(vm->ready.port, 80);
    assert_int_equal(vm->ready.timeout_s, 7);
    assert_int_equal(vm->n_after, 3);
    assert_string_equal(vm->after[0].name, "acme/db");
    assert_int_equal(vm->after[0].when, WHEN_READY); /* it has a condition */
    assert_int_equal(vm->after[0].vm, 1);
    assert_int_equal(vm->after[1].when, WHEN_STARTED);
    assert_int_equal(vm->after[2].vm, 3);
    assert_int_equal(vm->after[2].when, WHEN_STARTED); /* it has none */
    vm =
        fleet.vms
            [1]; /* a file may be that of many: the name is the manifest's, paths are seen from its folder */
    assert_string_equal(vm->options.config.name, "db");
    assert_string_equal(vm->options.config.kernel, "/srv/fleet/below/k");
    assert_int_equal(vm->ready.timeout_s, FLEET_TIMEOUT_S);
    assert_true(fleet.vms[2]->options.autostart);
    assert_string_equal(fleet.vms[3]->name, "other/x");
    manifest_free(&fleet);
}

/* A manifest, and each of its faults in its order. */
static const struct {
    const char *text, *faults;
} faulty[] = {
    { "[]", "f:1: is to be an object: vms, and perhaps tenant\n" },
    { "vmz: []", "f:1: vmz: there is no such field: is 'vms' meant?\n"
                 "f:1: vms is missing: the list of VMs\n" },
    { "vms: 3", "f:1: vms: is to be a list\n" },
    { "tenant: A\nvms: []", "f:1: tenant: 'A' is no tenant's name: 1 to 32 small letters, digits, "
                            "'.', '_' or '-'\n" },
    { "vms: [3]", "f:1: vms[0]: is to be an object: name, config, after, ready, ...\n" },
    { "vms: [{" K "}]", "f:1: vms[0]: name is missing: what the other verbs are to call it\n" },
    { "vms: [{name: a/b, config_file: 3}]",
      "f:1: vms[0]: name: 'a/b' is no name: 1 to 48 letters, digits, '.', '_' or '-', not "
      "starting with '.' or '-'\n"
      "f:1: vms[0]: config_file: is to be a text, the path of a file\n" },
    { "vms: [{name: a}, {name: b, " K ", config_file: x}]",
      "f:1: a: config is missing, or config_file: what the VM is made of\n"
      "f:1: b: config and config_file: give one of them\n" },
    { "vms: [{name: a, confg: {}, " K "}]",
      "f:1: a: confg: there is no such field: is 'config' meant?\n" },
    { "vms: [{name: a, config_file: gone}]", "f:1: a: config_file: gone: not there\n" },
    { "vms: [{name: a, config: {name: b, payload: {kernel: k}}}]",
      "f:1: a: config.name: 'b' is not the name above: leave it out\n" },
    /* of one configuration each section; what flags refuse only when all of these are good */
    { "vms: [{name: a, config: {payload: {krnel: k}, memroy: {}, disks: [{path: 3}]}}]",
      "f:1: a: config: payload.krnel: there is no such field: is 'kernel' meant?\n"
      "f:1: a: config: memroy: there is no such field: is 'memory' meant?\n"
      "f:1: a: config: disks[0].path: is to be a text\n" },
    { "vms: [{name: a, config: {}}]",
      "f:1: a: config: --kernel is missing (a bzImage or vmlinux)\n" },
    { "vms: [{name: a, " K ", labels: {'x y': z, q: 3}}]",
      "f:1: a: labels: 'x y=z' is no label: KEY=VALUE, with a key of 1 to 63 letters, digits, "
      "'.', "
      "'_', '-' or '/'\n"
      "f:1: a: labels.q: is to be a text: write it in quotes\n" },
    { "vms: [{name: a, " K ", cpus: 0-3, restart: always, autostart: 1}]",
      "f:1: a: autostart: is to be true or false\n"
      "f:1: a: cpus: which of the host's run it is for its config to say: config.cpus.affinity\n"
      "f:1: a: restart: a VM that has ended is not started again yet: leave it out\n" },
    { "vms: [{name: a, " K "}, {name: b, " K ", autostart: true, after: [a]}]",
      "f:1: b: autostart: the service would start it without waiting for 'a': leave it out, "
      "bulkhead fleet up starts it in its turn\n" },
    { "vms: [{name: a, " K ", after: a}, {name: b, " K ", after: [3, {whem: x, vm: a}]}]",
      "f:1: a: after: is to be a list of VMs\n"
      "f:1: b: after[0]: is to be a VM's name, or an object: vm, when\n"
      "f:1: b: after[1].whem: there is no such field: is 'when' meant?\n" },
    { "vms: [{name: a, " K "}, {name: b, " K ", after: [a, {vm: a, when: soon}]}]",
      "f:1: b: after[1].when: is to be started or ready\n"
      "f:1: b: after[1]: 'a' is given twice\n" },
    { "vms: [{name: a, " K ", ready: up}, {name: b, " K ", ready: {}}]",
      "f:1: a: ready: is to be an object: console, console_regex or vsock, and timeout_s\n"
      "f:1: b: ready: give one of console, console_regex and vsock\n" },
    { "vms: [{name: a, " K ", ready: {console: x, vsock: 3, timeout: 3}}]",
      "f:1: a: ready.timeout: there is no such field: is 'timeout_s' meant?\n"
      "f:1: a: ready: give one of console, console_regex and vsock\n" },
    { "vms: [{name: a, " K ", ready: {console: \"a\\nb\", timeout_s: 0}}]",
      "f:1: a: ready.console: is to be a text of 1 to 255 bytes, within one line\n"
      "f:1: a: ready.timeout_s: is to be a number from 1 to 86400\n" },
    { "vms: [{name: a, " K ", ready: {console_regex: '('}}, "
      "{name: b, " K ", ready: {console_regex: '(x)\\1'}}]",
      "f:1: a: ready.console_regex: '(': Unmatched ( or \\(\n"
      "f:1: b: ready.console_regex: '(x)\\1': no back references\n" },
    { "vms: [{name: a, " K ", ready: {vsock: 3}}, "
      "{name: b, config: {payload: {kernel: k}, serial: {mode: Off}}, ready: {console: x}}]",
      "f:1: a: ready.vsock: it has no vsock: give it one, or another condition\n"
      "f:1: b: ready.console: neither its serial port nor its console is one of mode tty, which "
      "the service reads\n" },
    /* what only all of them say */
    { "vms: [{name: a, " K "}, {name: a, " K "}]",
      "f:1: a: there is a VM of that name in f:1 already\n" },
    { "tenant: t\nvms: [{name: web, " K "}, {name: a, " K ", after: [wed, something]}]",
      "f:2: t/a: after: there is no VM 't/wed' in the manifests: is 't/web' meant?\n"
      "f:2: t/a: after: there is no VM 't/something' in the manifests\n" },
    { "vms: [{name: a, " K "}, {name: b, " K ", after: [{vm: a, when: ready}]}]",
      "f:1: b: after: 'a' has no ready condition: give it one, or say when: started\n" },
    { "vms: [{name: a, " K ", after: [b]}, {name: b, " K ", after: [c]}, "
      "{name: c, " K ", after: [d, b]}, {name: d, " K ", after: [d]}]",
      "f:1: d: they wait for each other in a circle: d after d\n"
      "f:1: b: they wait for each other in a circle: b after c after b\n" },
};

static void test_faults(void **state)
{
    (void)state;
    config_file_text = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(faulty); i++) {
        struct fleet fleet;

        read_fleet(&fleet, faulty[i].text);
        if (strcmp(faults_of(&fleet), faulty[i].faults) != 0)
            fail_msg("'%s': '%s'", faulty[i].text, faults_of(&fleet));
        manifest_free(&fleet);
    }
}

/* Each kind of fault is said at its own line, or at that of what it is missing in. */
static const struct {
    const char *text;
    const char *begins[8]; /* each fault */
} placed[] = {
    { "tenant: A\nvmz: 1\n", { "f:2: vmz: there", "f:1: tenant: 'A'" } },
    { "# none\ntenant: t\n", { "f:2: vms is missing" } },
    { "tenant: t\nvms:\n  a: 3\n", { "f:2: vms: is to be" } },
    { "vms:\n- name: a\n  " K "\n- 3\n- " K "\n-\n  name: /\n  " K "\n- tenant: T\n",
      { "f:4: vms[1]: is to be", "f:5: vms[2]: name is missing", "f:7: vms[3]: name: '/'",
        "f:9: vms[4]: tenant: 'T'" } },
    { "vms:\n- name: a\n  confg: {}\n- name: b\n  " K
      "\n\n  config_file: x\n- name: c\n  config_file: 3\n- name: d\n  config: 3\n",
      { "f:3: a: confg: there", "f:2: a: config is missing", "f:7: b: config and config_file",
        "f:9: c: config_file: is to be", "f:11: d: config: is to be" } },
    { "vms:\n- name: a\n  config:\n    name: b\n    payload:\n      krnel: k\n    memroy:\n    "
      "disks:\n    - path: k\n    - path: 3\n",
      { "f:4: a: config.name: 'b'", "f:6: a: config: payload.krnel: there",
        "f:7: a: config: memroy: there", "f:10: a: config: disks[1].path: is" } },
    /* what flags refuse: of a device, of all of it */
    { "vms:\n- name: a\n  config:\n    payload:\n      kernel: k\n    disks:\n    - path: d\n    - "
      "readonly: true\n    memory:\n      size: 1Q\n",
      { "f:8: a: config: --disk: " } },
    { "vms:\n- name: a\n  config:\n    payload:\n      kernel: k\n    memory:\n      size: 1Q\n",
      { "f:6: a: config: --memory: " } },
    { "vms:\n- name: a\n  config:\n    cpus: {boot_vcpus: 1}\n",
      { "f:3: a: config: --kernel is" } },
    { "vms:\n- name: a\n  " K
      "\n  labels:\n    q: 3\n    x y: z\n  cpus: 0-3\n  autostart: 1\n  restart: always\n",
      { "f:5: a: labels.q: is", "f:6: a: labels: 'x y=z'", "f:8: a: autostart: is",
        "f:7: a: cpus: which", "f:9: a: restart: a VM" } },
    { "vms:\n- name: a\n  " K
      "\n  after:\n  - 3\n  - whem: x\n    vm: b\n  - vm: b\n    when: soon\n- name: b\n  " K
      "\n- name: c\n  " K "\n  after: b\n",
      { "f:5: a: after[0]: is", "f:6: a: after[1].whem: there", "f:9: a: after[2].when: is",
        "f:8: a: after[2]: 'b' is given", "f:14: c: after: is" } },
    { "vms:\n- name: a\n  " K "\n  ready: up\n- name: b\n  " K
      "\n  ready:\n    timeout: 3\n- name: c\n  " K
      "\n  ready:\n    console: ''\n    timeout_s: 0\n",
      { "f:4: a: ready: is", "f:8: b: ready.timeout: there", "f:7: b: ready: give",
        "f:12: c: ready.console: is", "f:13: c: ready.timeout_s: is" } },
    { "vms:\n- name: a\n  " K "\n  ready:\n    console_regex: (\n- name: b\n  " K
      "\n  ready:\n    vsock: 3\n- name: c\n  config: {payload: {kernel: k}, serial: {mode: "
      "Off}}\n  ready:\n    console_regex: x\n",
      { "f:5: a: ready.console_regex: '('", "f:9: b: ready.vsock: it",
        "f:13: c: ready.console: neither" } },
    /* what only all of them say */
    { "vms:\n- " K "\n  name: a\n- " K "\n  name: a\n  after:\n  - c\n",
      { "f:5: a: there is a VM of that name in f:3", "f:7: a: after: there is no VM 'c'" } },
    { "vms:\n- name: a\n  " K "\n- name: b\n  " K
      "\n  after:\n  - nosuch\n  - vm: a\n    when: ready\n- name: c\n  " K "\n  after: [c]\n",
      { "f:7: b: after: there is no VM", "f:8: b: after: 'a' has no", "f:12: c: they wait" } },
    { "vms:\n- name: a\n  config:\n    payload: {kernel: k}\n    disks:\n    - path: /c\n    - "
      "path: /d\n    net: [{tap: t}]\n    serial: {file: /f}\n    vsock: {cid: 3, socket: /s}\n- "
      "name: b\n  config:\n    payload: {kernel: k}\n    disks:\n    - path: /d\n    net:\n    - "
      "tap: t\n    serial: {file: /f}\n    vsock: {cid: 3, socket: /s}\n",
      { "f:15: b: the disk", "f:17: b: the interface", "f:18: b: the console's file",
        "f:19: b: the socket" } },
    { "{\"vms\": [\n{\"name\": \"a\",\n\"config\":\n{\"payload\":\n{\"krnel\": \"k\"}}}]}",
      { "f:5: a: config: payload.krnel: there" } },
};

static void test_lines(void **state)
{
    (void)state;
    config_file_text = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(placed); i++) {
        struct fleet fleet;
        size_t n = 0;

        read_fleet(&fleet, placed[i].text);
        for (; n < 8 && placed[i].begins[n]; n++)
            if (n >= fleet.faults.n ||
                strncmp(fleet.faults.lines[n], placed[i].begins[n], strlen(placed[i].begins[n])))
                fail_msg("no '%s' in '%s'", placed[i].begins[n], faults_of(&fleet));
        if (n != fleet.faults.n)
            fail_msg("more: '%s'", faults_of(&fleet));
        manifest_free(&fleet);
    }
}

/* Of a configuration in a file of its own both files are named; what two VMs have, at the manifest's. */
static void test_lines_of_config_file(void **state)
{
    struct fleet fleet;

    (void)state;
    config_file_text = "payload:\n  kernel: k\nmemory:\n  sice: 3\n";
    read_fleet(&fleet, "vms:\n- name: a\n  config_file: a.yaml\n");
    assert_string_equal(faults_of(&fleet), "f:3: a: a.yaml:4: memory.sice: there is no such field: "
                                           "is 'size' meant?\n");
    manifest_free(&fleet);
    config_file_text = "payload:\n  kernel: k\n\nmemory:\n  size: 1Q\n";
    read_fleet(&fleet, "vms:\n- name: a\n  config_file: a.yaml\n");
    assert_ptr_equal(strstr(faults_of(&fleet), "f:3: a: a.yaml:4: --memory: "), faults_of(&fleet));
    manifest_free(&fleet);
    config_file_text = "payload: {kernel: k}\ndisks: [{path: /d}]\n";
    read_fleet(&fleet,
               "vms:\n- {name: a, config_file: a.yaml}\n- name: b\n  config_file: b.yaml\n");
    assert_ptr_equal(strstr(faults_of(&fleet), "f:4: b: the disk /d is that of 'a' too"),
                     faults_of(&fleet));
    manifest_free(&fleet);
}

/* Two VMs, a and b. NULL: they can live together. */
static void test_claims(void **state)
{
#define D "payload: {kernel: k}, "
    static const struct {
        const char *a, *b, *what;
    } cases[] = {
        { D "disks: [{path: /d}]", D "disks: [{path: /d}]", "the disk /d" },
        { D "disks: [{path: /d, readonly: true}]", D "disks: [{path: /d}]", "the disk /d" },
        { D "disks: [{path: /d, readonly: true}]", D "disks: [{path: /d, readonly: true}]", NULL },
        { D "disks: [{path: /d}]", D "disks: [{path: /dd}]", NULL },
        { D "disks: [{path: /same/a}]", D "disks: [{path: /same/b}]", "the disk /same/b" },
        { D "disks: [{path: d}]", D "disks: [{path: ./d}]", "the disk /srv/fleet/d" },
        { D "net: [{tap: t}]", D "net: [{tap: t}]", "the interface t" },
        { D "net: [{user: true}]", D "net: [{user: true}]", NULL },
        { D "vsock: {cid: 3, socket: /s}", D "vsock: {cid: 3, socket: /s}", "the socket /s" },
        { D "vsock: {cid: 3, socket: /s}", D "vsock: {cid: 3, socket: /t}", NULL },
        { D "console: {socket: /s}", D "vsock: {cid: 3, socket: /s}", "the socket /s" },
        { D "serial: {file: /s}", D "console: {file: /s}", "the console's file /s" },
        { D "serial: {mode: Tty}", D "serial: {mode: Tty}", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[512], want[256] = "";
        struct fleet fleet;

        snprintf(text, sizeof(text), "vms: [{name: a, config: {%s}}, {name: b, config: {%s}}]",
                 cases[i].a, cases[i].b);
        if (cases[i].what)
            snprintf(want, sizeof(want), "f:1: b: %s is that of 'a' too%s\n", cases[i].what,
                     strstr(cases[i].what, "disk") ? ": only what is readonly in both can be shared"
                                                   : "");
        read_fleet(&fleet, text);
        if (strcmp(faults_of(&fleet), want) != 0)
            fail_msg("'%s': '%s'", text, faults_of(&fleet));
        manifest_free(&fleet);
    }
}

static void test_waves(void **state)
{
    static const struct {
        const char *name;
        unsigned wave;
    } want[] = { { "a", 3 }, { "b", 1 }, { "c", 0 }, { "d", 2 }, { "e", 0 } };
    struct fleet fleet;

    (void)state;
    read_fleet(&fleet, "vms: [{name: a, " K ", after: [b, d]}, {name: b, " K ", after: [c]}, "
                       "{name: c, " K "}, {name: d, " K ", after: [b, c]}, {name: e, " K "}]");
    assert_string_equal(faults_of(&fleet), "");
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(fleet.vms[i]->name, want[i].name);
        assert_int_equal(fleet.vms[i]->wave, want[i].wave);
    }
    assert_int_equal(order_n_waves(&fleet), 4);
    assert_string_equal(show_after(&fleet, fleet.vms[0]), "b (started), d (started)");
    manifest_free(&fleet);
}

/* A chain as long as a fleet may be, named from its end: no way is too deep. One VM more is one too many. */
static void test_many(void **state)
{
    static char text[FLEET_MAX_VMS * 80];
    struct fleet fleet;
    size_t n;

    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        n = (size_t)snprintf(text, sizeof(text), "vms:\n");
        for (unsigned i = 0; i < FLEET_MAX_VMS + more; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n,
                                  i == 0 ? "- {name: v%u, " K "}\n"
                                         : "- {name: v%u, " K ", after: [v%u]}\n",
                                  FLEET_MAX_VMS - i, FLEET_MAX_VMS - i + 1);
        read_fleet(&fleet, text);
        assert_string_equal(faults_of(&fleet),
                            more ? "f:1026: vms[1024]: more than 1024 VMs\n" : "");
        assert_int_equal(order_n_waves(&fleet), FLEET_MAX_VMS);
        manifest_free(&fleet);
    }
}

/* ---- files ---- */

struct folder {
    char path[64];
};

static void write_file(const struct folder *f, const char *name, const char *text, mode_t mode)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));

    snprintf(f->path, sizeof(f->path), "/tmp/bulkhead-fleet-XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    char command[128];
    int r;

    snprintf(command, sizeof(command), "rm -r %s", f->path);
    r = system(command); /* NOLINT(cert-env33-c) */
    free(f);
    return r;
}

static void test_folder(void **state)
{
    const struct folder *f = *state;
    struct fleet fleet = { 0 };

    write_file(f, "2.yaml", "vms: [{name: two, config_file: two.vm}]", 0644);
    write_file(f, "1.json",
               "{\"vms\": [{\"name\": \"one\", \"config\": {\"payload\": {\"kernel\": "
               "\"k\"}}}]}",
               0600);
    write_file(f, "3.yml", "vms: []", 0644);
    write_file(f, "two.vm", "payload: {kernel: k}", 0644);
    write_file(f, "4.yaml~", "none", 0644);
    write_file(f, ".5.yaml", "none", 0644);
    files_read_folder(&fleet, f->path, false);
    order_check(&fleet, files_identify);
    assert_string_equal(faults_of(&fleet), "");
    assert_int_equal(fleet.n_files, 3);
    assert_int_equal(fleet.n, 2);
    assert_string_equal(fleet.vms[0]->name, "one");
    assert_non_null(strstr(fleet.vms[1]->options.config.kernel, f->path));
    manifest_free(&fleet);
}

/* Each of them is named, with those that can't be read. */
static void test_who_may_write(void **state)
{
    const struct folder *f = *state;
    struct fleet fleet = { 0 };
    char want[1024], path[128];

    write_file(f, "1.yaml", "vms: []", 0664);
    write_file(f, "2.yaml", "vms: [{name: two, config_file: two.vm}]", 0644);
    write_file(f, "two.vm", "payload: {kernel: k}", 0646);
    write_file(f, "3.yaml", "vms: [", 0644);
    snprintf(path, sizeof(path), "%s/4.yaml", f->path);
    assert_int_equal(mkdir(path, 0755), 0);
    files_read_folder(&fleet, f->path, false);
    snprintf(
        want, sizeof(want),
        "the file %s/1.yaml may be written by others: chmod go-w it\n"
        "%s/2.yaml:1: two: config_file: the file %s/two.vm may be written by others: chmod go-w "
        "it\n"
        "%s/3.yaml:2: did not find expected node content\n"
        "%s/4.yaml: is no file\n",
        f->path, f->path, f->path, f->path, f->path);
    assert_string_equal(faults_of(&fleet), want);
    manifest_free(&fleet);
    assert_int_equal(chmod(f->path, 01777), 0);
    files_read_folder(&fleet, f->path, false);
    snprintf(want, sizeof(want), "the folder %s may be written by others: chmod go-w it\n",
             f->path);
    assert_string_equal(faults_of(&fleet), want);
    manifest_free(&fleet);
    /* What was named can't be taken away there; but without the sticky bit. */
    snprintf(path, sizeof(path), "%s/2.yaml", f->path);
    write_file(f, "two.vm", "payload: {kernel: k}", 0644);
    files_read_one(&fleet, path);
    if (getuid() == 0)
        assert_string_equal(faults_of(&fleet), "");
    manifest_free(&fleet);
    assert_int_equal(chmod(f->path, 0777), 0);
    files_read_one(&fleet, path);
    assert_string_equal(faults_of(&fleet), want);
    manifest_free(&fleet);
    if (getuid() == 0) {
        assert_int_equal(chmod(f->path, 0755), 0);
        assert_int_equal(chown(path, 12345, 12345), 0);
        files_read_one(&fleet, path);
        snprintf(want, sizeof(want),
                 "the file %s belongs to uid 12345: it is to be root's, or "
                 "yours\n",
                 path);
        assert_string_equal(faults_of(&fleet), want);
        manifest_free(&fleet);
    }
}

static void test_missing_folder(void **state)
{
    struct fleet fleet = { 0 };

    (void)state;
    files_read_folder(&fleet, "/tmp/bulkhead-fleet-none", true);
    assert_string_equal(faults_of(&fleet), "");
    files_read_folder(&fleet, "/tmp/bulkhead-fleet-none", false);
    assert_string_equal(faults_of(&fleet), "/tmp/bulkhead-fleet-none: No such file or directory\n");
    manifest_free(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_of_config_file),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_waves),
        cmocka_unit_test(test_many),
        cmocka_unit_test_setup_teardown(test_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_who_may_write, make_folder, remove_folder),
        cmocka_unit_test(test_missing_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
