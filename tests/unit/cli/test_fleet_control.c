// SPDX-License-Identifier: Apache-2.0
// test_fleet_control.c - named rights in a fleet's manifests: what is read of them, and each fault in its line.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/compare.h"
#include "fleet/look.h"
#include "fleet/manifest.h"
#include "fleet/order.h"
#include "rights.h"
#include "vmconfig/load.h"

#define K "config: {payload: {kernel: k}}"
#define V(socket) "config: {payload: {kernel: k}, vsock: {cid: 3, socket: " socket "}}"

static bool identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
    (void)path;
    (void)ret_dev;
    (void)ret_ino;
    return false;
}

static void read_fleet(struct fleet *fleet, const char *text)
{
    struct manifest_source source = { .file = "f", .dir = "/srv/fleet" };
    struct option_error err;
    json_t *root;

    *fleet = (struct fleet){ 0 };
    root = load_text("f", text, strlen(text), &source.lines, &err);
    if (!root)
        fail_msg("%s", err.text);
    manifest_read(fleet, &source, root);
    lines_deinit(&source.lines);
    json_decref(root);
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

static const struct {
    const char *text, *faults;
} faulty[] = {
    { "vms: [{name: a, " V(
          "/s/1") ", control: [web]}, {name: b, " K ", control: {verbs: [stop], labels: {r: x}}},"
                  " {name: c, " V("/s/2") ", control: {verb: [stop], vms: [a]}},"
                                          " {name: d, " V(
                                              "/s/3") ", control: {verbs: [stp, stop, stop, 3], "
                                                      "vms: x, labels: [x]}},"
                                                      " {name: e, " V(
                                                          "/s/4") ", control: {verbs: [info]}}]",
      "f:1: a: control: is to be an object: verbs, and vms or labels\n"
      "f:1: b: control: it has no vsock, over which its guest would ask: give it one\n"
      "f:1: c: control.verb: there is no such field: is 'verbs' meant?\n"
      "f:1: c: control.verbs: is to be a list of what it may do: start, stop, reboot, info, wait, "
      "events\n"
      "f:1: d: control.verbs[0]: 'stp' is none of start, stop, reboot, info, wait, events: is "
      "'stop' "
      "meant?\n"
      "f:1: d: control.verbs[2]: 'stop' is given twice\n"
      "f:1: d: control.verbs[3]: '' is none of start, stop, reboot, info, wait, events\n"
      "f:1: d: control.vms: is to be a list of at most 64 VMs' names\n"
      "f:1: d: control.labels: is to be an object of texts\n"
      "f:1: e: control: say which VMs it may drive: vms, or labels\n" },
    { "tenant: t\nvms: [{name: web, " K "}, {name: x, tenant: u, " K
      "}, {name: ctl, " V("/s/5") ", control: {verbs: [stop], vms: [wed, u/x, ctl, x, t/web, 4]}}]",
      "f:2: t/ctl: control.vms[1]: 'u/x' is another tenant's: a VM may drive those of its own "
      "tenant "
      "alone, which are named without one\n"
      "f:2: t/ctl: control.vms[5]: is to be a VM's name\n"
      "f:2: t/ctl: control.vms: there is no VM 'wed' of its tenant in the manifests: is 'web' "
      "meant?\n"
      "f:2: t/ctl: control.vms: a VM may drive others, not itself\n"
      "f:2: t/ctl: control.vms: there is no VM 'x' of its tenant in the manifests\n" },
};

#define D                                                                                          \
    "config: {payload: {kernel: k}, vsock: {cid: 3, socket: /s/d}, disks: [{id: root, path: /r}, " \
    "{id: data, path: /d}], net: [{id: lan, tap: t}, {id: out, user: true}]}"

/* Devices that its guest may ask for: of its own config, by id. */
static void test_devices(void **state)
{
    static const struct {
        const char *text, *faults;
    } rows[] = {
        { "vms: [{name: a, " D ", on_request: [data, lan]}]", "" },
        { "vms: [{name: a, " D ", on_request: data}]",
          "f:1: a: on_request: is to be a list of at most 16 ids of devices\n" },
        { "vms: [{name: a, " D ", on_request: [dat, data, data, out, 3]}]",
          "f:1: a: on_request[0]: 'dat' is the id of no disk or network in its config: is 'data' "
          "meant?\n"
          "f:1: a: on_request[2]: 'data' is given twice\n"
          "f:1: a: on_request[3]: 'out' is a user network, which the service can't give: use a "
          "tap\n"
          "f:1: a: on_request[4]: '' is the id of no disk or network in its config\n" },
        { "vms: [{name: a, config: {payload: {kernel: k}, disks: [{id: d, path: /d}]}, on_request: "
          "[d]}]",
          "f:1: a: on_request: it has no vsock, over which its guest would ask: give it one\n" },
    };
    Bulkhead__VmSpec ours, kept;
    struct fleet fleet;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        read_fleet(&fleet, rows[i].text);
        assert_string_equal(faults_of(&fleet), rows[i].faults);
        manifest_free(&fleet);
    }
    read_fleet(&fleet, rows[0].text);
    ours = look_spec(fleet.vms[0]);
    kept = ours;
    assert_int_equal(ours.n_on_request, 2);
    assert_string_equal(rights_devices(&fleet.bag, ours.on_request, 2), "data, lan");
    assert_null(compare_specs(&fleet.bag, &ours, &kept));
    kept.n_on_request = 1;
    assert_string_equal(compare_specs(&fleet.bag, &ours, &kept), "on_request");
    manifest_free(&fleet);
}

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faulty); i++) {
        struct fleet fleet;

        read_fleet(&fleet, faulty[i].text);
        assert_string_equal(faults_of(&fleet), faulty[i].faults);
        manifest_free(&fleet);
    }
}

/* A right goes to the service as it stands, and one that is another is seen. */
static void test_read(void **state)
{
    static const char all[] = "tenant: t\nvms: [{name: web, " K "}, {name: ctl, " V(
        "/s/6") ", control: {verbs: [stop, info], vms: [t/web], labels: {r: x, s: y}}}]";
    Bulkhead__VmSpec ours, kept;
    Bulkhead__ControlRight other;
    struct fleet fleet;

    (void)state;
    read_fleet(&fleet, all);
    assert_string_equal(faults_of(&fleet), "");
    assert_null(fleet.vms[0]->control);
    assert_string_equal(rights_text(&fleet.bag, fleet.vms[1]->control),
                        "stop, info: web, and those with r=x and s=y");
    ours = look_spec(fleet.vms[1]);
    kept = ours;
    assert_ptr_equal(ours.control, fleet.vms[1]->control);
    assert_null(compare_specs(&fleet.bag, &ours, &kept));
    other = *ours.control;
    other.n_verbs = 1;
    kept.control = &other;
    assert_string_equal(compare_specs(&fleet.bag, &ours, &kept), "control.verbs");
    kept.control = NULL;
    assert_string_equal(compare_specs(&fleet.bag, &ours, &kept), "control");
    manifest_free(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
