/* SPDX-License-Identifier: Apache-2.0 */
/* device_test.c - bodies of requests that add a device, as real clients send them (shared with tests/worker/gateway_test.c), and such
 * as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "json/device.h"
#include "openapi/check.h"
#include <cmocka.h>

static int parse(const char *section, const char *text, size_t n_fds, struct vm_options *o,
                 char **unknown, struct option_error *err)
{
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int r;

    assert_non_null(json);
    *o = (struct vm_options){ .event_fd = -1, .taps = VM_OPTIONS_TAPS_NO };
    bulkhead__vm_config__init(&o->config);
    *unknown = (char *)(uintptr_t) "";
    r = device_parse(section, json, n_fds, "/srv", o, unknown, err);
    json_decref(json);
    return r;
}

/* Kata 4.1's, word for word. */
static void test_disk_of_kata(void **state)
{
    struct option_error err = { "" };
    struct vm_options o;
    char *unknown;

    (void)state;
    if (parse("disks",
              "{\"backing_files\":false,\"direct\":false,\"image_type\":\"Raw\",\"iommu\":false,"
              "\"num_queues\":1,\"path\":\"/dev/mapper/container-rootfs\",\"queue_size\":1024,"
              "\"readonly\":false,\"sparse\":true,\"vhost_user\":false}",
              0, &o, &unknown, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(unknown, "");
    assert_int_equal(o.config.n_disks, 1);
    assert_string_equal(o.config.disks[0]->path, "/dev/mapper/container-rootfs");
    assert_int_equal(o.config.disks[0]->queue_size, 1024);
    bag_free(&o.bag);
}

/* Kata gives an address even where the tap comes open, libvirt 11.3 its own name; two queues are one descriptor. */
static void test_nets_with_descriptors(void **state)
{
    static const struct {
        const char *text, *id;
        size_t n_fds;
    } nets[] = {
        { "{\"iommu\":false,\"ip\":\"192.168.249.1\",\"mac\":\"02:42:ac:11:00:02\","
          "\"mask\":\"255.255.255.0\",\"num_queues\":2,\"offload_csum\":true,\"offload_tso\":true,"
          "\"offload_ufo\":true,\"queue_size\":256,\"vhost_mode\":\"Client\",\"vhost_user\":false}",
          "", 1 },
        { "{\"id\":\"net_0\",\"mac\":\"52:54:00:02:85:01\",\"num_queues\":4}", "net_0", 2 },
        { "{\"tap\":null,\"fds\":[-1],\"mac\":\"52:54:00:02:85:01\"}", "", 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
        struct option_error err = { "" };
        const Bulkhead__NetConfig *net;
        struct vm_options o;
        char *unknown;

        if (parse("net", nets[i].text, nets[i].n_fds, &o, &unknown, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(unknown, i == 2 ? "net.fds" : "");
        assert_int_equal(o.config.n_nets, 1);
        net = o.config.nets[0];
        assert_string_equal(net->mode, "fd");
        assert_string_equal(net->id, nets[i].id);
        assert_int_equal(net->num_fds, nets[i].n_fds);
        assert_int_equal(net->n_fd_numbers, nets[i].n_fds);
        assert_int_equal(net->ip, 0);
        assert_int_equal(net->mask, 0);
        bag_free(&o.bag);
    }
}

static void test_unknown_fields(void **state)
{
    struct option_error err = { "" };
    struct vm_options o;
    char *unknown;

    (void)state;
    assert_int_equal(parse("disks",
                           "{\"path\":\"d\",\"foo\":1,\"serial\":null,\"rate_limiter_config\":"
                           "{\"bandwidth\":{\"size\":1,\"refill_time\":2,\"bar\":{}},\"baz\":3}}",
                           0, &o, &unknown, &err),
                     0);
    assert_string_equal(unknown, "disks.foo, disks.rate_limiter_config.bar, "
                                 "disks.rate_limiter_config.baz");
    assert_string_equal(o.config.disks[0]->path, "/srv/d");
    assert_int_equal(o.config.disks[0]->rate_limit->bandwidth->size, 1);
    bag_free(&o.bag);
}

static void test_refused(void **state)
{
    static const struct {
        const char *section, *text, *says;
        size_t n_fds;
    } cases[] = {
        { "disks", "{}", "nothing is said", 0 },
        { "disks", "{\"readonly\":true}", "path", 0 },
        { "disks", "{\"path\":1}", "is to be a text", 0 },
        { "disks", "{\"path\":\"a\\\"b\"}", "double quote", 0 },
        { "disks", "{\"path\":\"/d\",\"image_type\":\"Qcow2\"}", "not supported", 0 },
        { "disks", "{\"path\":\"/d\",\"queue_affinity\":[{\"queue_index\":0,\"host_cpus\":[1]}]}",
          "not supported", 0 },
        { "disks", "{\"path\":\"/d\"}", "only a network", 1 },
        { "net", "{\"num_queues\":4}", "don't fit", 1 },
        { "net", "{\"user\":true}", "exclude descriptors", 1 },
        { "net", "{\"mac\":\"x\"}", "mac", 0 },
        { "net", "{\"vhost_user\":true}", "not supported", 0 },
        { "vsock", "{\"cid\":3}", "socket=", 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct option_error err = { "" };
        struct vm_options o;
        char *unknown;

        if (parse(cases[i].section, cases[i].text, cases[i].n_fds, &o, &unknown, &err) == 0)
            fail_msg("%s is taken", cases[i].text);
        if (!strstr(err.text, cases[i].says) || strncmp(err.text, "--", 2) == 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        bag_free(&o.bag);
    }
}

/* ---- the document ---- */

static const struct openapi_schema *schema_of(const char *path)
{
    for (const struct openapi_operation *o = openapi_vm; o->path; o++)
        if (strcmp(o->path, path) == 0)
            return o->body;
    fail_msg("%s is not in the document", path);
    return NULL;
}

static void test_schema(void **state)
{
    static const struct {
        const char *path, *text, *says; /* says NULL: it is taken */
    } cases[] = {
        { "/vm.add-disk", "{\"path\":\"/d\",\"foo\":[1]}", NULL },
        { "/vm.add-disk", "{\"path\":null,\"num_queues\":null}", NULL },
        { "/vm.add-disk", "[]", "the body: is to be an object" },
        { "/vm.add-disk", "{\"path\":[]}", "path: is to be a text" },
        { "/vm.add-disk", "{\"num_queues\":0}", "num_queues: is to be 1 or more" },
        { "/vm.add-disk", "{\"num_queues\":1.5}", "num_queues: is to be a whole number" },
        { "/vm.add-disk", "{\"rate_limiter_config\":{\"ops\":{\"size\":1}}}",
          "refill_time: is missing" },
        { "/vm.add-net", "{\"hostfwd\":[\"tcp:1:2\",3]}", "hostfwd: is to be a text" },
        { "/vm.add-vsock", "{\"cid\":2,\"socket\":\"/s\"}", "cid: is to be 3 or more" },
        { "/vm.remove-device", "{\"id\":null}", "id: is missing" },
        { "/vm.resize", "{\"desired_balloon\":-1}", "desired_balloon: is to be 0 or more" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *body = json_loads(cases[i].text, 0, NULL);
        char fault[OPENAPI_FAULT_BYTES] = "";
        bool ok = check_body(schema_of(cases[i].path), body, fault);

        assert_int_equal(ok, cases[i].says == NULL);
        assert_string_equal(fault, cases[i].says ? cases[i].says : "");
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_of_kata),   cmocka_unit_test(test_nets_with_descriptors),
        cmocka_unit_test(test_unknown_fields), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
