/* SPDX-License-Identifier: Apache-2.0 */
/* service_test.c - what the broker of a service's VM takes of a launcher, which its tenant may have got hold of. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/handed.h"
#include "fixture.h"
#include "resources/holder.h"
#include "run/instance.h"
#include "run/service.h"

#define ROLE(name) BULKHEAD__ROLE__ROLE_##name

enum { DISK_BYTES = 4096 };

/* There may be no KVM here; what is checked of it has a test of its own. */
int __real_handed_check_kvm(int fd, struct fault *f);
int __wrap_handed_check_kvm(int fd, struct fault *f);
int __wrap_handed_check_kvm(int fd, struct fault *f)
{
    (void)fd;
    (void)f;
    return 0;
}

static int make_file(off_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    return fd;
}

static int make_listener(bool listens)
{
    struct sockaddr_un any = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof any.sun_family), 0);
    if (listens)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void an_image_is_a_file(void **state)
{
    int good = make_file(1), empty = make_file(0), pair[2];
    int dir = open("/", O_RDONLY | O_CLOEXEC), path = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    struct fault f = { 0 };

    (void)state;
    assert_int_equal(handed_check_image("the kernel", good, &f), 0);
    assert_true(handed_check_image("the kernel", empty, &f) < 0);
    assert_non_null(strstr(f.text, "the kernel is empty"));
    assert_true(handed_check_image("the kernel", dir, &f) < 0);
    assert_true(handed_check_image("the kernel", path, &f) < 0);
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_true(handed_check_image("the kernel", pair[0], &f) < 0);
    assert_true(handed_check_image("the kernel", -1, &f) < 0);
    close(pair[0]);
    close(pair[1]);
    close(good);
    close(empty);
    close(dir);
    close(path);
}

static void kvm_is_no_other_device(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), file = make_file(1);
    struct fault f = { 0 };

    (void)state;
    assert_true(__real_handed_check_kvm(null, &f) < 0);
    assert_true(__real_handed_check_kvm(file, &f) < 0);
    assert_true(__real_handed_check_kvm(-1, &f) < 0);
    close(null);
    close(file);
}

/* ---- sockets ---- */

static int check_at_socket(Bulkhead__Role role, unsigned pci_slot, int own, int link, bool holder)
{
    Bulkhead__VmConfig *c = fixture_config();
    const struct plan_device d = { .role = role, .pci_slot = pci_slot, .name = "x" };
    struct fault f = { 0 };
    struct backend b;
    int r;

    c->serial->mode = c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
    backend_init(&b);
    b.own[0] = own;
    b.n_own = 1;
    b.held[0] = link;
    b.holder = holder;
    r = handed_check(c, &d, &b, &f);
    config_free(c);
    return r;
}

/* Its file is the service's own. All others' must go with them. */
static void the_serial_port_alone_needs_no_holder(void **state)
{
    int listens = make_listener(true), mute = make_listener(false), link[2];

    (void)state;
    assert_int_equal(holder_link(link), 0);
    assert_int_equal(check_at_socket(ROLE(CONSOLE), 0, listens, -1, false), 0);
    assert_int_equal(check_at_socket(ROLE(CONSOLE), 0, listens, link[0], true), 0);
    assert_true(check_at_socket(ROLE(CONSOLE), 0, mute, -1, false) < 0);
    assert_true(check_at_socket(ROLE(CONSOLE), 0, link[0], -1, false) < 0);
    assert_true(check_at_socket(ROLE(CONSOLE), 0, listens, link[0], false) < 0);
    assert_true(check_at_socket(ROLE(CONSOLE), 3, listens, -1, false) < 0);
    assert_int_equal(check_at_socket(ROLE(CONSOLE), 3, listens, link[0], true), 0);
    assert_true(check_at_socket(ROLE(VSOCK), 3, listens, -1, false) < 0);
    assert_int_equal(check_at_socket(ROLE(VSOCK), 3, listens, link[0], true), 0);
    assert_true(check_at_socket(ROLE(RNG), 3, listens, -1, false) < 0);
    close(link[0]);
    close(link[1]);
    close(listens);
    close(mute);
}

static void which_have_a_back_end(void **state)
{
    static const struct {
        Bulkhead__Role role;
        const char *mode;
        bool needed;
    } table[] = {
        { ROLE(BLK), "tap", true },   { ROLE(NET), "tap", true },   { ROLE(NET), "macvtap", true },
        { ROLE(NET), "fd", true },    { ROLE(NET), "user", false }, { ROLE(CONSOLE), "tap", true },
        { ROLE(VSOCK), "tap", true }, { ROLE(RNG), "tap", false },  { ROLE(BALLOON), "tap", false },
    };
    Bulkhead__VmConfig *c = fixture_config();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct plan_device d = { .role = table[i].role };

        fixture_text(&c->nets[0]->mode, table[i].mode);
        assert_int_equal(handed_is_needed(c, &d), table[i].needed);
    }
    config_free(c);
}

/* ---- all of a VM ---- */

struct given {
    struct instance in;
    struct spawner spawner; /* there is none: where it is asked for something, all has been taken */
    int fds[16];
    unsigned n_fds;
    Bulkhead__Backend messages[8], *list[8];
    unsigned n_backends;
    char dir[64];
};

static Bulkhead__Backend *give(struct given *g, const int *fds, unsigned n)
{
    Bulkhead__Backend *m = &g->messages[g->n_backends];

    bulkhead__backend__init(m);
    m->own = n;
    g->list[g->n_backends++] = m;
    for (unsigned i = 0; i < n; i++)
        g->fds[g->n_fds++] = fds[i];
    return m;
}

/* A VM with a disk, a user network and a console at nothing, with all that it needs. */
static struct given *start(void)
{
    struct given *g = calloc(1, sizeof *g);
    Bulkhead__VmConfig *c = fixture_config();
    Bulkhead__Backend *disk;

    assert_non_null(g);
    bulkhead__disk_config__free_unpacked(c->disks[--c->n_disks], NULL);
    c->rng->enabled = false;
    c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_NULL;
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    fixture_text(&c->initramfs, "/initramfs");
    g->spawner = (struct spawner){ .fd = -1, .pid = -1 };
    instance_init(&g->in, NULL, &g->spawner);
    instance_plan(&g->in, c);
    for (unsigned i = 0; i < PROGRAMS_MAX; i++)
        g->in.programs.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < PROGRAMS_FOLDERS; i++)
        g->in.programs.folders[i] = -1;
    for (unsigned i = 0; i < 3; i++)
        g->fds[g->n_fds++] = make_file(1);
    disk = give(g, (int[]){ make_file(DISK_BYTES) }, 1);
    disk->size = DISK_BYTES;
    disk->block_size = disk->direct_align = disk->range_align = 512;
    give(
        g,
        (int[]){ open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC) },
        2);
    snprintf(g->dir, sizeof g->dir, "/tmp/bulkhead-service.XXXXXX");
    assert_non_null(mkdtemp(g->dir));
    assert_int_equal(setenv("BULKHEAD_RUNDIR", g->dir, 1), 0);
    return g;
}

/* What it says, and everything is closed. */
static const char *outcome(struct given *g)
{
    static struct fault f;
    int r = service_open(&g->in, g->list, g->n_backends, g->fds, g->n_fds, &f);

    assert_true(r < 0);
    for (unsigned i = 0; i < g->n_fds; i++)
        fd_closep(&g->fds[i]);
    instance_deinit(&g->in);
    assert_int_equal(rmdir(g->dir), 0);
    free(g);
    return f.text;
}

static unsigned count_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static const char all_taken[] = "the spawner died", odd[] = "does not fit its configuration";

static void what_comes_fits_the_plan(void **state)
{
    unsigned before = count_fds();
    struct given *g;

    (void)state;
    assert_non_null(strstr(outcome(start()), all_taken));
    assert_int_equal(count_fds(), before);
    for (unsigned missing = 1; missing <= 6; missing++) { /* descriptors, from the last one on */
        g = start();
        for (unsigned i = 0; i < missing; i++)
            fd_closep(&g->fds[--g->n_fds]);
        assert_non_null(strstr(outcome(g), odd));
        assert_int_equal(count_fds(), before);
    }
    g = start();
    g->n_backends--;
    assert_non_null(strstr(outcome(g), odd));
    g = start();
    g->fds[g->n_fds++] = make_file(1);
    assert_non_null(strstr(outcome(g), odd));
    g = start();
    give(g, NULL, 0);
    assert_non_null(strstr(outcome(g), odd));
    assert_int_equal(count_fds(), before);
}

static void numbers_are_checked(void **state)
{
    struct given *g;

    (void)state;
    g = start();
    g->messages[0].own = UINT32_MAX;
    assert_non_null(strstr(outcome(g), odd));
    g = start();
    g->messages[0].held = UINT32_MAX;
    assert_non_null(strstr(outcome(g), odd));
    g = start();
    g->messages[0].size = 2 * DISK_BYTES;
    assert_non_null(strstr(outcome(g), "its kind or its size"));
    g = start();
    g->messages[1].claim = true;
    g->fds[g->n_fds++] = make_file(1);
    assert_non_null(strstr(outcome(g), "the number of descriptors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_a_file),
        cmocka_unit_test(kvm_is_no_other_device),
        cmocka_unit_test(the_serial_port_alone_needs_no_holder),
        cmocka_unit_test(which_have_a_back_end),
        cmocka_unit_test(what_comes_fits_the_plan),
        cmocka_unit_test(numbers_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
