/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_test.c - bulkhead-gateway: each status of each path of docs/api/vm.yaml; clients that are slow, fast, or gone;
 * descriptors; a broker that dies; and what Kata and libvirt were recorded to send. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/compiler.h"
#include "gateway_rig.h"
#include "openapi/check.h"
#include <cmocka.h>

static struct gateway_response response; /* large */

static void expect(struct gateway_rig *rig, int client, int status)
{
    gateway_hear(rig, client, &response);
    if (response.status != status)
        fail_msg("%d, and %d was expected: %s", response.status, status, response.body);
}

/* ---- the document ---- */

static void check_answer(const struct openapi_operation *o)
{
    char fault[OPENAPI_FAULT_BYTES] = "";
    json_t *body = NULL;

    if (response.status == 204) {
        assert_string_equal(response.body, "");
        return;
    }
    body = json_loads(response.body, 0, NULL);
    if (!body)
        fail_msg("%s: this is not JSON: %s", o->path, response.body);
    if (response.status >= 400) {
        assert_int_equal(json_array_size(body), 2);
        assert_true(json_string_length(json_array_get(body, 1)) > 0);
    } else if (!o->answer || !check_body(o->answer, body, fault)) {
        fail_msg("%s: %s: %s", o->path, fault, response.body);
    }
    json_decref(body);
}

/* The one way to each status. */
static void provoke(struct gateway_rig *rig, const struct openapi_operation *o, int status)
{
    static const struct {
        int status, error;
    } errors[] = { { 404, ENOENT }, { 405, EALREADY }, { 409, EEXIST }, { 500, EIO } };
    const char *method = status == 400 && !o->body ? "POST" : o->method;
    const char *body = !o->body        ? NULL
                       : status == 400 ? "{\"x\":"
                       : status == 501 ? "{\"desired_vcpus\":2}"
                                       : o->example;
    int client = gateway_connect(rig);

    rig->error = 0;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
        if (errors[i].status == status)
            rig->error = errors[i].error;
    rig->host_failure = status == 500;
    rig->dies = status == 503;
    gateway_ask(client, method, o->path, body);
    expect(rig, client, status);
    check_answer(o);
    rig->dies = rig->host_failure = false;
    rig->error = 0;
    close(client);
}

static void test_each_status(void **state)
{
    struct gateway_rig *rig = gateway_begin();
    unsigned n = 0;

    (void)state;
    for (const struct openapi_operation *o = openapi_vm; o->path; o++)
        for (const int *status = o->statuses; *status != 0; status++, n++)
            provoke(rig, o, *status);
    print_message("%u statuses\n", n);
    assert_true(n > 80);
    gateway_end(rig);
}

static void test_contents(void **state)
{
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig);

    (void)state;
    gateway_ask(client, "GET", "/vmm.ping", NULL);
    expect(rig, client, 200);
    assert_non_null(strstr(response.body, "\"pid\":4711"));
    gateway_ask(client, "GET", "/vm.info", NULL);
    expect(rig, client, 200);
    assert_non_null(strstr(response.body, "\"serial\":{\"mode\":\"Pty\",\"file\":\"/dev/pts/7\""));
    assert_non_null(strstr(response.body, "\"max_vcpus\":2"));
    assert_non_null(strstr(response.body, "\"state\":\"Paused\",\"memory_actual_size\":268435456"));
    gateway_ask(client, "GET", "/vm.counters", NULL);
    expect(rig, client, 200);
    assert_non_null(strstr(response.body, "{\"disk0\":{\"read_bytes\":4096,"));
    gateway_ask(client, "GET", "/nowhere", NULL);
    expect(rig, client, 404);
    gateway_ask(client, "PUT", "/vm.pause", "{}");
    expect(rig, client, 400);
    gateway_ask(client, "PUT", "/vm.add-disk",
                "{\"path\":\"d/e\",\"foo\":1,\"serial\":null,\"b\\u00e4r\\r\\nX: y\":2}");
    expect(rig, client, 200);
    assert_string_equal(response.ignored, "disks.foo, disks.b??r??X: y");
    assert_string_equal(response.body, "{\"id\":\"disk1\",\"bdf\":\"0000:00:05.0\"}");
    assert_string_equal(rig->opened_path, "/srv/d/e");
    close(client);
    gateway_end(rig);
}

/* ---- clients ---- */

static void test_pipelining(void **state)
{
    static const char requests[] =
        "GET /api/v1/vm.info HTTP/1.1\r\n\r\n"
        "PUT /api/v1/vm.boot HTTP/1.1\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
        "GET /nowhere HTTP/1.1\r\n\r\n"
        "PUT /api/v1/vm.pause HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig);

    (void)state;
    gateway_send(client, requests, sizeof requests - 1, NULL, 0);
    expect(rig, client, 200);
    expect(rig, client, 501);
    expect(rig, client, 404);
    expect(rig, client, 204);
    assert_true(response.closes);
    gateway_hear_end(rig, client);
    client = gateway_connect(rig);
    for (size_t i = 0; i < sizeof requests - 1; i++)
        gateway_send(client, requests + i, 1, NULL, 0);
    expect(rig, client, 200);
    expect(rig, client, 501);
    expect(rig, client, 404);
    expect(rig, client, 204);
    gateway_hear_end(rig, client);
    gateway_end(rig);
}

static void test_continue(void **state)
{
    static const char head[] =
        "PUT /api/v1/vm.resize HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig);

    (void)state;
    gateway_send(client, head, sizeof head - 1, NULL, 0);
    expect(rig, client, 100);
    gateway_send(client, "15\r\n{\"desired_balloon\":0}\r\n0\r\n\r\n", 32, NULL, 0);
    expect(rig, client, 204);
    close(client);
    gateway_end(rig);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        { "GET /api/v1/vmm.ping HTTP/1.1\n\n", 400 },
        { "GET /api/v1/vmm.ping HTTP/3\r\n\r\n", 505 },
        { "PUT /api/v1/vm.resize HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", 413 },
        { "PUT /api/v1/vm.resize HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: "
          "chunked\r\n\r\n",
          400 },
    };
    struct gateway_rig *rig = gateway_begin();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int client = gateway_connect(rig);

        gateway_send(client, cases[i].text, strlen(cases[i].text), NULL, 0);
        expect(rig, client, cases[i].status);
        assert_true(response.closes);
        gateway_hear_end(rig, client);
    }
    gateway_end(rig);
}

/* A hundred that never come to an end of their request keep nobody out, and a request that takes long holds up none. */
static void test_slow_clients(void **state)
{
    static const char start[] = "GET /api/v1/vmm.ping HTTP/1.1\r\nX: ";
    struct gateway_rig *rig = gateway_begin();
    int slow[100], waiting = gateway_connect(rig), client;

    (void)state;
    rig->silent = true;
    gateway_ask(waiting, "PUT", "/vm.pause", NULL);
    while (rig->n_brokers == 0)
        gateway_play(rig, waiting, 10);
    for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
        slow[i] = gateway_connect(rig);
        gateway_send(slow[i], start, sizeof start - 1, NULL, 0);
    }
    client = gateway_connect(rig);
    for (int i = 0; i < 100; i++) {
        gateway_ask(client, "GET", "/vmm.ping", NULL);
        expect(rig, client, 200);
    }
    close(client);
    /* The oldest made room. */
    gateway_hear_end(rig, slow[0]);
    /* The last one goes on as if nothing had been. */
    gateway_send(slow[99], "y\r\n\r\n", 5, NULL, 0);
    expect(rig, slow[99], 200);
    for (size_t i = 1; i < ARRAY_SIZE(slow); i++)
        close(slow[i]);
    rig->silent = false;
    channel_freep(&rig->broker);
    expect(rig, waiting, 503);
    close(waiting);
    gateway_end(rig);
}

/* ---- descriptors ---- */

static ino_t inode_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

/* Each request gets what came with its first byte, also when it stands behind another that waits. */
static void test_descriptors(void **state)
{
    static const char ping[] = "GET /api/v1/vmm.ping HTTP/1.1\r\n\r\n";
    static const char net[] = "PUT /api/v1/vm.add-net HTTP/1.1\r\nContent-Length: 55\r\n\r\n"
                              "{\"id\":\"net_0\",\"mac\":\"52:54:00:02:85:01\",\"num_queues\":4}";
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig), fds[6];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = memfd_create("tap", MFD_CLOEXEC);
    gateway_send(client, ping, sizeof ping - 1, NULL, 0);
    gateway_send(client, net, sizeof net - 1, fds, 2);
    gateway_send(client, net, sizeof net - 1, fds + 2, 2);
    gateway_send(client, ping, sizeof ping - 1, fds + 4, 1);
    gateway_send(client, net, sizeof net - 1, fds + 4, 2);
    expect(rig, client, 200);
    for (size_t i = 0; i < 4; i++) /* one is a ping, whose descriptor is nobody's */
        expect(rig, client, 200);
    assert_int_equal(rig->n_inodes, ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        assert_int_equal(rig->inodes[i], inode_of(fds[i]));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    close(client);
    gateway_end(rig);
}

static void test_too_many_descriptors(void **state)
{
    static const char net[] = "PUT /api/v1/vm.add-net HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig), fds[17];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = STDIN_FILENO;
    gateway_send(client, net, sizeof net - 1, fds, ARRAY_SIZE(fds));
    expect(rig, client, 400);
    gateway_hear_end(rig, client);
    client = gateway_connect(rig);
    gateway_send(client, net, sizeof net - 1, fds, 1);
    expect(rig, client, 200);
    close(client);
    gateway_end(rig);
}

/* ---- brokers ---- */

static void test_broker_dies(void **state)
{
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig), waiting[20];

    (void)state;
    rig->refuses = true;
    gateway_ask(client, "GET", "/vm.info", NULL);
    expect(rig, client, 503);
    assert_non_null(strstr(response.body, "the test lets nobody in"));
    rig->refuses = false;
    rig->silent = true;
    for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
        waiting[i] = gateway_connect(rig);
        gateway_ask(waiting[i], "PUT", "/vm.pause", NULL);
    }
    while (rig->n_brokers == 0)
        gateway_play(rig, client, 10);
    gateway_play(rig, client, 50);
    channel_freep(&rig->broker);
    for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
        rig->silent = false;
        gateway_hear(rig, waiting[i], &response);
        assert_true(response.status == 503 || response.status == 204);
        close(waiting[i]);
    }
    gateway_ask(client, "GET", "/vm.info", NULL);
    expect(rig, client, 200);
    assert_int_equal(rig->n_brokers, 2);
    close(client);
    gateway_end(rig);
}

/* ---- recorded ---- */

#define GO "Host: localhost\r\nUser-Agent: OpenAPI-Generator/1.0.0/go\r\n"
#define JSON "Content-Type: application/json\r\n"
#define GZIP "Accept-Encoding: gzip\r\n"
#define ACCEPT "Accept: application/json\r\n"
#define CURL "Host: localhost\r\nAccept: application/json\r\n"

/* Requests as the clients sent them, with the status that they get here: 501 is for what is not here yet. In what was recorded that
 * was 204. */
static const struct {
    const char *start, *headers, *body;
    size_t n_fds;
    int status;
} recorded[] = {
    /* Kata 4.1.0 */
    { "GET /api/v1/vmm.ping", GO ACCEPT GZIP, NULL, 0, 200 },
    { "GET /api/v1/vm.info", GO ACCEPT GZIP, NULL, 0, 200 },
    { "PUT /api/v1/vm.add-net", CURL "Content-Length: 216\r\n" JSON,
      "{\"iommu\":false,\"ip\":\"192.168.249.1\",\"mac\":\"02:42:ac:11:00:02\",\"mask\":"
      "\"255.255.255.0\",\"num_queues\":2,\"offload_csum\":true,\"offload_tso\":true,\"offload_"
      "ufo\":"
      "true,\"queue_size\":256,\"vhost_mode\":\"Client\",\"vhost_user\":false}",
      1, 200 },
    { "PUT /api/v1/vm.add-disk", GO "Content-Length: 193\r\n" ACCEPT JSON GZIP,
      "{\"backing_files\":false,\"direct\":false,\"image_type\":\"Raw\",\"iommu\":false,\"num_"
      "queues\":"
      "1,\"path\":\"/dev/mapper/"
      "container-rootfs\",\"queue_size\":1024,\"readonly\":false,\"sparse\":"
      "true,\"vhost_user\":false}\n",
      0, 200 },
    { "PUT /api/v1/vm.resize", GO "Content-Length: 27\r\n" JSON GZIP,
      "{\"desired_ram\":2415919104}\n", 0, 501 },
    { "PUT /api/v1/vm.resize", GO "Content-Length: 20\r\n" JSON GZIP, "{\"desired_vcpus\":2}\n", 0,
      501 },
    { "PUT /api/v1/vm.remove-device", GO "Content-Length: 16\r\n" JSON GZIP,
      "{\"id\":\"_disk3\"}\n", 0, 204 },
    { "PUT /api/v1/vm.pause", GO "Content-Length: 0\r\n" GZIP, NULL, 0, 204 },
    { "PUT /api/v1/vm.resume", GO "Content-Length: 0\r\n" GZIP, NULL, 0, 204 },
    /* libvirt 11.3.0 */
    { "PUT /api/v1/vm.add-net", "Host: localhost\r\n" JSON "Content-Length: 55\r\n",
      "{\"id\":\"net_0\",\"mac\":\"52:54:00:02:85:01\",\"num_queues\":4}", 2, 200 },
    { "PUT /api/v1/vm.add-net", "Host: localhost\r\n" JSON "Content-Length: 55\r\n",
      "{\"id\":\"net_1\",\"mac\":\"52:54:00:02:85:02\",\"num_queues\":2}", 1, 200 },
    { "GET /api/v1/vm.info", CURL JSON, NULL, 0, 200 },
    { "PUT /api/v1/vm.pause", CURL "Content-Length: 0\r\n", NULL, 0, 204 },
    { "PUT /api/v1/vm.resume", CURL "Content-Length: 0\r\n", NULL, 0, 204 },
    { "PUT /api/v1/vm.reboot", CURL "Content-Length: 0\r\n", NULL, 0, 501 },
    { "PUT /api/v1/vm.snapshot", CURL JSON "Content-Length: 44\r\n",
      "{\"destination_url\":\"file:///srv/lv/save113\"}", 0, 501 },
    { "PUT /api/v1/vm.shutdown", CURL "Content-Length: 0\r\n", NULL, 0, 204 },
    /* Kata, at last */
    { "PUT /api/v1/vmm.shutdown", GO "Content-Length: 0\r\n" GZIP, NULL, 0, 204 },
};

static void test_recorded(void **state)
{
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig), fds[] = { STDIN_FILENO, STDIN_FILENO };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
        char text[2048];
        int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\n%s\r\n%s", recorded[i].start,
                         recorded[i].headers, recorded[i].body ? recorded[i].body : "");

        gateway_send(client, text, (size_t)n, fds, recorded[i].n_fds);
        gateway_hear(rig, client, &response);
        if (response.status != recorded[i].status || response.ignored[0])
            fail_msg("%s: %d %s %s", recorded[i].start, response.status, response.body,
                     response.ignored);
        if (recorded[i].n_fds > 0)
            assert_int_equal(rig->n_opened, recorded[i].n_fds);
    }
    close(client);
    gateway_end(rig);
}

/* libvirt 9.0 sends what has no body with a chunked one, and waits to be told to go on. */
static void test_libvirt_9(void **state)
{
    static const char head[] =
        "PUT /api/v1/vm.shutdown HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    struct gateway_rig *rig = gateway_begin();
    int client = gateway_connect(rig);

    (void)state;
    gateway_send(client, head, sizeof head - 1, NULL, 0);
    expect(rig, client, 100);
    gateway_send(client, "0\r\n\r\n", 5, NULL, 0);
    expect(rig, client, 204);
    close(client);
    gateway_end(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_status), cmocka_unit_test(test_contents),
        cmocka_unit_test(test_pipelining),  cmocka_unit_test(test_continue),
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_too_many_descriptors),
        cmocka_unit_test(test_broker_dies), cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_libvirt_9),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
