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
                    struct option_error *err)
{
    if (!config_file_text) {
        option_fail(err, "%s: not there", path);
        return NULL;
    }
    *ret_dir = bag_printf(bag, "%s/below", dir);
    return load_text(path, config_file_text, strlen(config_file_text), err);
}

static bool identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
    *ret_dev = 1;
    *ret_ino = 7;
    return strncmp(path, "/same/", 6) == 0;
}

static void read_text(struct fleet *fleet, const char *file, const char *text)
{
    const struct manifest_source source = { .file = file, .dir = "/srv/fleet", .load = load };
    struct option_error err;
    json_t *root = load_text(file, text, strlen(text), &err);

    if (!root)
        fail_msg("%s", err.text);
    manifest_read(fleet, &source, root);
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
    { "[]", "f: is to be an object: vms, and perhaps tenant\n" },
    { "vmz: []", "f: vmz: there is no such field: is 'vms' meant?\n"
                 "f: vms is missing: the list of VMs\n" },
    { "vms: 3", "f: vms: is to be a list\n" },
    { "tenant: A\nvms: []", "f: tenant: 'A' is no tenant's name: 1 to 32 small letters, digits, "
                            "'.', '_' or '-'\n" },
    { "vms: [3]", "f: vms[0]: is to be an object: name, config, after, ready, ...\n" },
    { "vms: [{" K "}]", "f: vms[0]: name is missing: what the other verbs are to call it\n" },
    { "vms: [{name: a/b, config_file: 3}]",
      "f: vms[0]: name: 'a/b' is no name: 1 to 48 letters, digits, '.', '_' or '-', not "
      "starting with '.' or '-'\n"
      "f: vms[0]: config_file: is to be a text, the path of a file\n" },
    { "vms: [{name: a}, {name: b, " K ", config_file: x}]",
      "f: a: config is missing, or config_file: what the VM is made of\n"
      "f: b: config and config_file: give one of them\n" },
    { "vms: [{name: a, confg: {}, " K "}]",
      "f: a: confg: there is no such field: is 'config' meant?\n" },
    { "vms: [{name: a, config_file: gone}]", "f: a: config_file: gone: not there\n" },
    { "vms: [{name: a, config: {name: b, payload: {kernel: k}}}]",
      "f: a: config.name: 'b' is not the name above: leave it out\n" },
    /* of one configuration each section; what flags refuse only when all of these are good */
    { "vms: [{name: a, config: {payload: {krnel: k}, memroy: {}, disks: [{path: 3}]}}]",
      "f: a: config: payload.krnel: there is no such field: is 'kernel' meant?\n"
      "f: a: config: memroy: there is no such field: is 'memory' meant?\n"
      "f: a: config: disks[0].path: is to be a text\n" },
    { "vms: [{name: a, config: {}}]",
      "f: a: config: --kernel is missing (a bzImage or vmlinux)\n" },
    { "vms: [{name: a, " K ", labels: {'x y': z, q: 3}}]",
      "f: a: labels: 'x y=z' is no label: KEY=VALUE, with a key of 1 to 63 letters, digits, "
      "'.', "
      "'_', '-' or '/'\n"
      "f: a: labels.q: is to be a text: write it in quotes\n" },
    { "vms: [{name: a, " K ", cpus: 0-3, restart: always, autostart: 1}]",
      "f: a: autostart: is to be true or false\n"
      "f: a: cpus: processors of the host can't be chosen yet: leave it out\n"
      "f: a: restart: a VM that has ended is not started again yet: leave it out\n" },
    { "vms: [{name: a, " K "}, {name: b, " K ", autostart: true, after: [a]}]",
      "f: b: autostart: the service would start it without waiting for 'a': leave it out, "
      "bulkhead fleet up starts it in its turn\n" },
    { "vms: [{name: a, " K ", after: a}, {name: b, " K ", after: [3, {whem: x, vm: a}]}]",
      "f: a: after: is to be a list of VMs\n"
      "f: b: after[0]: is to be a VM's name, or an object: vm, when\n"
      "f: b: after[1].whem: there is no such field: is 'when' meant?\n" },
    { "vms: [{name: a, " K "}, {name: b, " K ", after: [a, {vm: a, when: soon}]}]",
      "f: b: after[1].when: is to be started or ready\n"
      "f: b: after[1]: 'a' is given twice\n" },
    { "vms: [{name: a, " K ", ready: up}, {name: b, " K ", ready: {}}]",
      "f: a: ready: is to be an object: console, console_regex or vsock, and timeout_s\n"
      "f: b: ready: give one of console, console_regex and vsock\n" },
    { "vms: [{name: a, " K ", ready: {console: x, vsock: 3, timeout: 3}}]",
      "f: a: ready.timeout: there is no such field: is 'timeout_s' meant?\n"
      "f: a: ready: give one of console, console_regex and vsock\n" },
    { "vms: [{name: a, " K ", ready: {console: \"a\\nb\", timeout_s: 0}}]",
      "f: a: ready.console: is to be a text of 1 to 255 bytes, within one line\n"
      "f: a: ready.timeout_s: is to be a number from 1 to 86400\n" },
    { "vms: [{name: a, " K ", ready: {console_regex: '('}}, "
      "{name: b, " K ", ready: {console_regex: '(x)\\1'}}]",
      "f: a: ready.console_regex: '(': Unmatched ( or \\(\n"
      "f: b: ready.console_regex: '(x)\\1': no back references\n" },
    { "vms: [{name: a, " K ", ready: {vsock: 3}}, "
      "{name: b, config: {payload: {kernel: k}, serial: {mode: Off}}, ready: {console: x}}]",
      "f: a: ready.vsock: it has no vsock: give it one, or another condition\n"
      "f: b: ready.console: neither its serial port nor its console is one of mode tty, which "
      "the service reads\n" },
    /* what only all of them say */
    { "vms: [{name: a, " K "}, {name: a, " K "}]",
      "f: a: there is a VM of that name in f already\n" },
    { "tenant: t\nvms: [{name: web, " K "}, {name: a, " K ", after: [wed, something]}]",
      "f: t/a: after: there is no VM 't/wed' in the manifests: is 't/web' meant?\n"
      "f: t/a: after: there is no VM 't/something' in the manifests\n" },
    { "vms: [{name: a, " K "}, {name: b, " K ", after: [{vm: a, when: ready}]}]",
      "f: b: after: 'a' has no ready condition: give it one, or say when: started\n" },
    { "vms: [{name: a, " K ", after: [b]}, {name: b, " K ", after: [c]}, "
      "{name: c, " K ", after: [d, b]}, {name: d, " K ", after: [d]}]",
      "f: d: they wait for each other in a circle: d after d\n"
      "f: b: they wait for each other in a circle: b after c after b\n" },
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
            snprintf(want, sizeof(want), "f: b: %s is that of 'a' too%s\n", cases[i].what,
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
        assert_string_equal(faults_of(&fleet), more ? "f: vms[1024]: more than 1024 VMs\n" : "");
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
    snprintf(want, sizeof(want),
             "the file %s/1.yaml may be written by others: chmod go-w it\n"
             "%s/2.yaml: two: config_file: the file %s/two.vm may be written by others: chmod go-w "
             "it\n"
             "%s/3.yaml: line 2: did not find expected node content\n"
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
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_waves),
        cmocka_unit_test(test_many),
        cmocka_unit_test_setup_teardown(test_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_who_may_write, make_folder, remove_folder),
        cmocka_unit_test(test_missing_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
