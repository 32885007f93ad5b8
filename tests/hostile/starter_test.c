/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c - a hostd that was taken over, and a real starter: whatever it says, it gets no more than hostd may have. A VM that
 * runs, what is kept of it, and a folder beside the service's are the victims. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "starter_tries.h"
#include <cmocka.h>

enum { MANY = 20, FLOOD = 20000, SAVES = 200, MEMORY_KIB = 32 << 10 };

struct starter_rig *tries_rig;

/* ---- what it can send ---- */

static struct starter_request request(uint32_t kind, const char *tenant, const char *vm)
{
    struct starter_request q = { .kind = kind, .id = ++tries_rig->id };

    memcpy(q.tenant, tenant, MIN(strlen(tenant), sizeof q.tenant));
    memcpy(q.vm, vm, MIN(strlen(vm), sizeof q.vm));
    return q;
}

/* True: it was done. */
static bool passes(const struct starter_request *q, const void *bytes, size_t len, const int *fds,
                   unsigned n_fds)
{
    rig_send(tries_rig, q, bytes, len, fds, n_fds);
    assert_true(rig_hear(tries_rig, q->id));
    for (unsigned i = 0; i < tries_rig->n_fds; i++)
        close(tries_rig->fds[i]);
    return tries_rig->done.error == 0;
}

/* Those operations on those names, with every channel; STARTER_START and STARTER_GIVE bring one more. */
bool tries_any_of_passes(uint32_t operations, const char *tenant, const char *vm)
{
    struct starter_request q;
    bool passed = false;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    for (uint32_t kind = STARTER_SAVE; kind < STARTER_REQUEST__MAX; kind++)
        for (uint32_t channel = 0; channel < 4 && (operations & (1u << kind)); channel++) {
            q = request(kind, tenant, vm);
            q.channel = channel;
            q.len = kind == STARTER_SAVE ? 4 : 0;
            passed |= passes(&q, "evil", q.len, &pair[1], kind == STARTER_START || kind == STARTER_GIVE);
        }
    close(pair[0]);
    close(pair[1]);
    return passed;
}

static bool any_passes(const char *tenant, const char *vm)
{
    return tries_any_of_passes(~0u, tenant, vm);
}

/* ---- what it tries ---- */

static bool names_that_lead_elsewhere(void)
{
    static const char *const names[][2] = {
        { "..", "web" },
        { "acme", ".." },
        { ".", "web" },
        { "acme", "." },
        { "", "web" },
        { "acme", "" },
        { "acme/..", "web" },
        { "acme", "../../../victim" },
        { "/etc", "web" },
        { "acme", "/etc/passwd" },
        { "acme", "web/../web" },
        { "acme/", "web" },
        { ".acme", "web" },
        { "acme", ".web" },
        { "-acme", "web" },
        { "acme", "-web" },
        { "acme\n", "web" },
        { "acme", "web\n" },
        { "acme", "web\xff" },
        { "Acme", "web" },
        { "acme", "web web" },
        { "acme:x", "web" },
        { "acme", "web:x" },
        { "acme", "\x1b[2J" },
        { "a%sme", "web" },
        { "acme", "$(id)" },
        { "\\", "web" },
        { "_acme", "web" },
        { "acme", "lost+found" },
        { "acme", "web\\" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (any_passes(names[i][0], names[i][1]))
            fail_msg("%s/%s passes", names[i][0], names[i][1]);
    return false;
}

static bool names_without_an_end(void)
{
    char tenant[64], vm[64];

    memset(tenant, 'a', sizeof tenant);
    memset(vm, 'b', sizeof vm);
    tenant[sizeof tenant - 1] = vm[sizeof vm - 1] = '\0';
    if (any_passes(tenant, "web") || any_passes("acme", vm))
        return true;
    tenant[HOSTDIR_TENANT_BYTES] = vm[HOSTDIR_VM_BYTES] = '\0'; /* one too long */
    return any_passes(tenant, "web") || any_passes("acme", vm);
}

static bool unknown_operations(void)
{
    static const uint32_t kinds[] = { 0, STARTER_REQUEST__MAX, 99, 0x80000001u, UINT32_MAX };
    bool passed = false;

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct starter_request q = request(kinds[i], "acme", "web");

        passed |= passes(&q, NULL, 0, NULL, 0);
    }
    return passed;
}

/* Nobody can be told about these. */
static bool short_messages(void)
{
    struct starter_request q = request(STARTER_REMOVE, "acme", "web");

    for (size_t n = 0; n < sizeof q; n += 11)
        assert_int_equal(fd_send(tries_rig->fd, &q, n, NULL, 0, 0), 0);
    return false;
}

static bool lengths_that_lie(void)
{
    static uint8_t bytes[STARTER_MAX_BYTES];
    static const struct {
        uint32_t says;
        size_t is;
    } cases[] = { { 1, 0 },          { 0, 1 },   { 100, 99 },
                  { UINT32_MAX, 4 }, { 4, 100 }, { STARTER_MAX_BYTES + 1, STARTER_MAX_BYTES } };
    bool passed = false;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct starter_request q = request(STARTER_SAVE, "acme", "other");

        q.len = cases[i].says;
        passed |= passes(&q, bytes, cases[i].is, NULL, 0);
    }
    return passed;
}

/* One byte more than there is room for: refused without a word. */
static bool too_long_a_description(void)
{
    static uint8_t bytes[STARTER_MAX_BYTES + 2000];
    struct starter_request q = request(STARTER_SAVE, "acme", "other");

    q.len = STARTER_MAX_BYTES + 1;
    rig_send(tries_rig, &q, bytes, STARTER_MAX_BYTES + 2, NULL, 0);
    q.len = STARTER_MAX_BYTES + 2000;
    rig_send(tries_rig, &q, bytes, STARTER_MAX_BYTES + 2000, NULL, 0);
    (void)rig_ask(tries_rig, STARTER_LOAD, "", "");
    return rig_exists(tries_rig, "state/vms/acme/other");
}

static bool a_description_of_nothing(void)
{
    return rig_save(tries_rig, "acme", "web", "", 0) == 0;
}

static bool bytes_where_none_belong(void)
{
    static const uint32_t kinds[] = { STARTER_TERMS,   STARTER_LOAD, STARTER_REMOVE,
                                      STARTER_CONNECT, STARTER_LOGS, STARTER_KILL };
    bool passed = false;

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct starter_request q = request(kinds[i], "acme", "web");

        q.len = 4;
        passed |= passes(&q, "evil", 4, NULL, 0);
    }
    return passed;
}

static bool descriptors_where_none_belong(void)
{
    static const uint32_t kinds[] = { STARTER_TERMS, STARTER_LOAD, STARTER_REMOVE, STARTER_LOGS };
    int fds[FD_SEND_MAX];
    bool passed = false;

    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = tries_rig->life;
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct starter_request q = request(kinds[i], "acme", "web");

        passed |= passes(&q, NULL, 0, fds, 1);
        q.id = ++tries_rig->id;
        passed |= passes(&q, NULL, 0, fds, ARRAY_SIZE(fds));
    }
    return passed;
}

static bool channels_that_are_none(void)
{
    int pair[2], fds[6] = { open("/dev/null", O_RDWR | O_CLOEXEC), open("/", O_PATH | O_CLOEXEC) };
    bool passed = false;

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    fds[2] = pair[0];
    fds[3] = pair[1];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fds[4] = pair[0];
    fds[5] = pair[1];
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
        struct starter_request q = request(STARTER_START, "acme", "other");

        passed |= passes(&q, NULL, 0, &fds[i], 1);
        q.id = ++tries_rig->id;
        passed |= passes(&q, NULL, 0, NULL, 0);
        q.id = ++tries_rig->id;
        passed |= passes(&q, NULL, 0, fds, 2);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    return passed;
}

static bool starts(const char *tenant, const char *vm, int expected)
{
    int channel = -1, error = rig_ask_start(tries_rig, tenant, vm, &channel);

    close(channel);
    if (error != 0)
        assert_int_equal(error, expected);
    return error == 0;
}

static bool a_tenant_that_is_none(void)
{
    return starts("nobody", "web", ENOENT);
}

static bool the_hosts_own_tenant(void)
{
    return starts("host", "web", ENOENT) || starts("root", "web", ENOENT) ||
           starts("user", "web", ENOENT);
}

static bool a_vm_that_runs(void)
{
    return starts("acme", "web", EBUSY);
}

static bool removal_of_a_vm_that_runs(void)
{
    return rig_ask(tries_rig, STARTER_REMOVE, "acme", "web") == 0;
}

static bool channels_that_are_not_there(void)
{
    static const uint32_t kinds[] = { STARTER_CONNECT, STARTER_LOGS };
    bool passed = false;

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
        for (uint32_t channel = 4; channel < 20; channel++)
            passed |= rig_ask_channel(tries_rig, kinds[i], "acme", "web", channel) == 0;
    passed |=
        rig_ask_channel(tries_rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_BROKER) == 0;
    passed |= rig_ask_channel(tries_rig, STARTER_LOGS, "acme", "web", STARTER_CHANNEL_COMMAND) == 0;
    return passed;
}

static bool what_runs_not(void)
{
    return rig_ask(tries_rig, STARTER_KILL, "acme", "other") == 0 ||
           rig_ask(tries_rig, STARTER_CONSOLE, "acme", "other") == 0 ||
           rig_ask_channel(tries_rig, STARTER_CONNECT, "acme", "other", STARTER_CHANNEL_COMMAND) ==
               0 ||
           rig_ask_channel(tries_rig, STARTER_CONNECT, "acme", "other", STARTER_CHANNEL_CONSOLE) ==
               0;
}

static bool a_request_without_a_number(void)
{
    struct starter_request q = request(STARTER_REMOVE, "acme", "kept");

    q.id = 0;
    rig_send(tries_rig, &q, NULL, 0, NULL, 0);
    q = request(STARTER_SAVE, "acme", "other");
    q.id = 0;
    q.len = 4;
    rig_send(tries_rig, &q, "evil", 4, NULL, 0);
    assert_int_equal(rig_ask(tries_rig, STARTER_LOAD, "", ""), 0);
    return !rig_exists(tries_rig, "state/vms/acme/kept/spec.pb") ||
           rig_exists(tries_rig, "state/vms/acme/other");
}

static bool two_lists_at_once(void)
{
    static uint8_t bytes[50000];
    struct starter_request q;
    uint32_t first;
    bool passed;
    char name[16];

    for (unsigned i = 0; i < MANY; i++) { /* more than the socket has room for */
        snprintf(name, sizeof name, "many%u", i);
        assert_int_equal(rig_save(tries_rig, "acme", name, bytes, sizeof bytes), 0);
    }
    q = request(STARTER_LOAD, "", "");
    first = q.id;
    rig_send(tries_rig, &q, NULL, 0, NULL, 0);
    q = request(STARTER_LOAD, "", "");
    rig_send(tries_rig, &q, NULL, 0, NULL, 0);
    assert_true(rig_hear(tries_rig, q.id));
    passed = tries_rig->done.error == 0;
    assert_true(rig_hear(tries_rig, first));
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many%u", i);
        assert_int_equal(rig_ask(tries_rig, STARTER_REMOVE, "acme", name), 0);
    }
    return passed;
}

static unsigned long memory_kib(void)
{
    char path[64], line[128];
    unsigned long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)tries_rig->pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %lu", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

/* It reads no answers: then no more requests are read of it, and nothing grows. */
static bool a_flood(void)
{
    unsigned long before = memory_kib(), after;
    struct starter_request q = request(STARTER_TERMS, "", "");
    unsigned sent = 0, refused = 0;

    while (sent < FLOOD && refused < 100) {
        int r = fd_send(tries_rig->fd, &q, sizeof q, NULL, 0, MSG_DONTWAIT);

        if (r == 0) {
            sent++;
            q.id = ++tries_rig->id;
            refused = 0;
        } else {
            assert_int_equal(r, -EAGAIN);
            refused++;
            (void)poll(NULL, 0, 1);
        }
    }
    after = memory_kib();
    assert_int_equal(refused, 100);
    assert_true(rig_hear(tries_rig, q.id - 1)); /* and each is answered */
    return after > before + MEMORY_KIB;
}

static bool many_descriptions_at_once(void)
{
    uint32_t first = tries_rig->id + 1;
    unsigned done = 0;
    char name[16];

    for (unsigned i = 0; i < SAVES; i++) {
        struct starter_request q;

        snprintf(name, sizeof name, "s%u", i / 2); /* two of each */
        q = request(STARTER_SAVE, "acme", name);
        q.len = 4;
        rig_send(tries_rig, &q, i % 2 ? "bbbb" : "aaaa", 4, NULL, 0);
    }
    for (unsigned i = 0; i < SAVES; i++) {
        struct starter_report report;

        assert_true(recv(tries_rig->fd, &report, sizeof report, 0) == (ssize_t)sizeof report);
        assert_true(report.kind == STARTER_DONE && report.id >= first);
        assert_true(report.error == 0 || report.error == EBUSY || report.error == EAGAIN ||
                    report.error == EDQUOT);
        done += report.error == 0;
    }
    assert_true(done > 0);
    assert_int_equal(rig_ask(tries_rig, STARTER_LOAD, "", ""), 0);
    for (unsigned i = 0; i < SAVES / 2; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(rig_ask(tries_rig, STARTER_REMOVE, "acme", name), 0);
    }
    return false;
}

/* ---- all of it ---- */

static const struct {
    const char *what;
    bool (*fn)(void);
} tries[] = {
#define TRY(fn)                                                                                    \
    {                                                                                              \
#fn, fn                                                                                    \
    }
    TRY(names_that_lead_elsewhere),
    TRY(names_without_an_end),
    TRY(unknown_operations),
    TRY(short_messages),
    TRY(lengths_that_lie),
    TRY(too_long_a_description),
    TRY(a_description_of_nothing),
    TRY(bytes_where_none_belong),
    TRY(descriptors_where_none_belong),
    TRY(channels_that_are_none),
    TRY(a_tenant_that_is_none),
    TRY(the_hosts_own_tenant),
    TRY(a_vm_that_runs),
    TRY(removal_of_a_vm_that_runs),
    TRY(channels_that_are_not_there),
    TRY(what_runs_not),
    TRY(a_request_without_a_number),
    TRY(tries_links_in_place_of_folders),
    TRY(tries_links_in_place_of_files),
    TRY(tries_fifos_in_place_of_files),
    TRY(tries_a_socket_of_another_user),
    TRY(two_lists_at_once),
    TRY(a_flood),
    TRY(many_descriptions_at_once),
};

static void begin(void)
{
    char path[160];

    tries_rig = rig_new();
    rig_write_tenant(tries_rig, "acme");
    snprintf(path, sizeof path, "%s/victim", tries_rig->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/victim/inside", tries_rig->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    rig_write(tries_rig, "victim/file", "victim", 6, 0600);
    rig_start(tries_rig);
    assert_int_equal(rig_save(tries_rig, "acme", "web", "spec", 4), 0);
    assert_int_equal(rig_save(tries_rig, "acme", "kept", "spec", 4), 0);
    assert_int_equal(rig_run(tries_rig, "acme", "web", NULL, 0), 0);
}

/* Whatever was tried: the VM runs, what was kept is kept, and no descriptor is left. */
static void look_at_victims(const char *what, unsigned *files)
{
    for (int ms = 0; rig_count_fds(tries_rig) > *files && ms < RIG_PATIENCE_MS; ms++) {
        assert_int_equal(rig_ask(tries_rig, STARTER_LOAD, "", ""), 0);
        (void)poll(NULL, 0, 1);
    }
    if (rig_count_fds(tries_rig) > *files)
        fail_msg("%s: %u descriptors are left in place of %u", what, rig_count_fds(tries_rig),
                 *files);
    *files = rig_count_fds(tries_rig); /* fewer: the VM's launcher has ended meanwhile */
    assert_int_equal(rig_ask(tries_rig, STARTER_LOAD, "", ""), 0);
    if (tries_rig->n_vms != 2 || tries_rig->n_bytes != 8 ||
        memcmp(tries_rig->bytes, "specspec", 8) != 0)
        fail_msg("%s: what is kept is %u VMs, '%.*s'", what, tries_rig->n_vms,
                 (int)tries_rig->n_bytes, (const char *)tries_rig->bytes);
    if (rig_ask_channel(tries_rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND) != 0)
        fail_msg("%s: the VM is gone: %s", what, tries_rig->done.text);
    close(tries_rig->fds[0]);
    assert_int_equal(tries_rig->brokers_ended, 0);
    if (!rig_exists(tries_rig, "victim/file") || !rig_exists(tries_rig, "victim/inside"))
        fail_msg("%s: the folder beside it has lost something", what);
}

static void test_nothing_succeeds(void **state)
{
    unsigned succeeded = 0, files;

    (void)state;
    begin();
    files = rig_count_fds(tries_rig);
    for (unsigned i = 0; i < ARRAY_SIZE(tries); i++) {
        if (tries[i].fn()) {
            print_message("%s: got through\n", tries[i].what);
            succeeded++;
        }
        look_at_victims(tries[i].what, &files);
    }
    print_message("%zu kinds of tries, %u succeeded\n", ARRAY_SIZE(tries), succeeded);
    assert_int_equal(succeeded, 0);
    rig_quit(tries_rig, "acme", "web");
    rig_free(tries_rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_succeeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
