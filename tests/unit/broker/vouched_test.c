/* SPDX-License-Identifier: Apache-2.0 */
/* vouched_test.c - a VM that has the service's own rights is as who the service is has described it, to the last field; and what a
 * tenant may have comes through a program's arguments as it was. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client/hostdir.h"
#include "config/allowed.h"
#include "fixture.h"
#include "run/vouched.h"
#include "temp_dir.h"

static char dir[64];
static int dir_fd;

static int setup(void **state)
{
    (void)state;
    if (!temp_dir(dir, sizeof dir, "bulkhead-vouched"))
        return -1;
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 70; i++) {
        char name[32];

        snprintf(name, sizeof name, HOSTDIR_VOUCHED "%d", i);
        (void)unlinkat(dir_fd, name, 0);
    }
    close(dir_fd);
    return rmdir(dir);
}

/* As `bulkhead create` sends it: little is filled in. */
static Bulkhead__VmConfig *described(void)
{
    Bulkhead__VmConfig *c = malloc(sizeof *c);

    bulkhead__vm_config__init(c);
    fixture_text(&c->name, "host/web");
    fixture_text(&c->kernel, "/boot/vmlinuz");
    c->trace_start_ns = 17;
    fixture_add_disk(c, "/var/lib/disk");
    fixture_add_net(c, "user");
    return c;
}

/* As hostd has it start. */
static Bulkhead__VmConfig *kept(const Bulkhead__VmConfig *from)
{
    Bulkhead__VmConfig *c = config_copy(from);

    assert_non_null(c);
    assert_int_equal(config_fill(c, ""), 0);
    fixture_text(&c->name, "web");
    c->trace_start_ns = 0;
    return c;
}

static void leave(int number, const Bulkhead__VmConfig *c, unsigned mode)
{
    static uint8_t bytes[4096];
    char name[32];
    int fd;

    snprintf(name, sizeof name, HOSTDIR_VOUCHED "%d", number);
    fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && bulkhead__vm_config__get_packed_size(c) <= sizeof bytes);
    assert_true(write(fd, bytes, bulkhead__vm_config__pack(c, bytes)) > 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static bool is_vouched(const Bulkhead__VmConfig *c)
{
    struct fault f = { 0 };
    int r = vouched_check(dir_fd, c, &f);

    assert_true(r == 0 ? f.error == 0 : f.error == EPERM && f.bad_input && f.text[0] != '\0');
    return r == 0;
}

static void as_it_was_described(void **state)
{
    Bulkhead__VmConfig *c = described(), *k = kept(c);

    (void)state;
    assert_false(is_vouched(k)); /* nobody has */
    leave(0, k, 0600);           /* of another time, and another address */
    k->nets[0]->mac.data[5] ^= 1;
    assert_false(is_vouched(k));
    leave(1, c, 0600); /* nobody has named one */
    assert_true(is_vouched(k));
    assert_true(is_vouched(k)); /* the descriptor is where it was */
    config_free(c);
    config_free(k);
}

static void a_serial_port(Bulkhead__VmConfig *c)
{
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_FILE;
    fixture_text(&c->serial->path, "/etc/cron.d/x");
}

static void a_disk(Bulkhead__VmConfig *c)
{
    fixture_add_disk(c, "/dev/sda");
    fixture_text(&c->disks[1]->id, "disk1");
}

static void another_disk(Bulkhead__VmConfig *c)
{
    fixture_text(&c->disks[0]->path, "/etc/shadow");
}

static void a_name(Bulkhead__VmConfig *c)
{
    fixture_text(&c->name, "other");
}

static void no_walls(Bulkhead__VmConfig *c)
{
    c->insecure = true;
}

static void fewer_networks(Bulkhead__VmConfig *c)
{
    c->n_nets = 0;
}

static void not_otherwise(void **state)
{
    void (*const changes[])(Bulkhead__VmConfig *) = { a_serial_port, a_disk,   another_disk,
                                                      a_name,        no_walls, fewer_networks };
    Bulkhead__VmConfig *c = described();

    (void)state;
    leave(0, c, 0600);
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        Bulkhead__VmConfig *k = kept(c);
        size_t n_nets = k->n_nets;

        assert_true(is_vouched(k));
        changes[i](k);
        if (is_vouched(k))
            fail_msg("change %zu", i);
        k->n_nets = n_nets;
        config_free(k);
    }
    config_free(c);
}

/* The service says whether a guest may speak to it, and not where else its guest's connections end. */
static void the_services_port(void **state)
{
    static const struct {
        uint32_t port;
        bool taken;
    } ports[] = { { 0, true }, { HOSTDIR_SERVICE_PORT, true }, { 22, false } };
    Bulkhead__VmConfig *c = described();

    (void)state;
    c->vsock = malloc(sizeof *c->vsock);
    assert_non_null(c->vsock);
    bulkhead__vsock_config__init(c->vsock);
    c->vsock->enabled = true;
    c->vsock->cid = 3;
    fixture_text(&c->vsock->socket, "/run/web.vsock");
    leave(0, c, 0600);
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        Bulkhead__VmConfig *k = kept(c);

        k->vsock->service_port = ports[i].port;
        assert_int_equal(is_vouched(k), ports[i].taken);
        config_free(k);
    }
    config_free(c);
}

static void not_by_others(void **state)
{
    Bulkhead__VmConfig *c = described(), *k = kept(c);

    (void)state;
    leave(0, c, 0660);
    assert_false(is_vouched(k));
    assert_int_equal(symlinkat("/nowhere", dir_fd, HOSTDIR_VOUCHED "1"), 0);
    assert_int_equal(mkfifoat(dir_fd, HOSTDIR_VOUCHED "2", 0600), 0); /* and nobody waits for it */
    assert_false(is_vouched(k));
    leave(3, c, 0600);
    if (geteuid() == 0) {
        assert_int_equal(fchownat(dir_fd, HOSTDIR_VOUCHED "3", 65533, 65533, 0), 0);
        assert_false(is_vouched(k));
    }
    leave(4, c, 0600);
    assert_true(is_vouched(k));
    config_free(c);
    config_free(k);
}

static void through_arguments(void **state)
{
    char first[] = "web*", second[] = "tap=x", tree[] = "/tree", *taps[] = { first, second };
    const struct allowed all = { .tenant = "acme",
                                 .host = true,
                                 .user_net = true,
                                 .taps = taps,
                                 .n_taps = 2,
                                 .devices = 4294967295u,
                                 .vouched = true };
    const struct allowed none = { .tenant = "acme" };
    char *words[ALLOWED_MAX_WORDS + 3], *block;
    struct allowed got;
    size_t n;

    (void)state;
    block = allowed_write(&all, words, &n);
    assert_int_equal(n, ALLOWED_MAX_WORDS + 2);
    words[n] = tree;
    assert_int_equal(allowed_read(&got, words, n + 1), n);
    assert_true(got.host && got.user_net && got.vouched && got.devices == 4294967295u);
    assert_string_equal(got.tenant, "acme");
    assert_int_equal(got.n_taps, 2);
    assert_string_equal(got.taps[0], "web*");
    assert_string_equal(got.taps[1], "tap=x");
    assert_ptr_equal(words[n], tree);
    free(block);
    block = allowed_write(&none, words, &n);
    assert_int_equal(allowed_read(&got, words, n), n);
    assert_false(got.host || got.user_net || got.vouched || got.devices || got.n_taps);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_it_was_described, setup, teardown),
        cmocka_unit_test_setup_teardown(not_otherwise, setup, teardown),
        cmocka_unit_test_setup_teardown(the_services_port, setup, teardown),
        cmocka_unit_test_setup_teardown(not_by_others, setup, teardown),
        cmocka_unit_test(through_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
