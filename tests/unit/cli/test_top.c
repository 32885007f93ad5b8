// SPDX-License-Identifier: Apache-2.0
// test_top.c - `bulkhead top`: figures, widths, JSON, and the terminal before and afterwards.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "ipc/channel.h"
#include "samples.h"
#include "vm_group.h"

#include <cmocka.h>

enum { TIMEOUT_MS = 30000, N_DEVICES = 3, N_PROCESSES = 3 };

/* What a broker says, with every figure as wide as `big` makes it. */
struct answers {
    Bulkhead__ProcessInfo processes[N_PROCESSES], *process_list[N_PROCESSES];
    Bulkhead__ProcessList list;
    Bulkhead__DeviceStats devices[N_DEVICES], *device_list[N_DEVICES];
    Bulkhead__Counters counters[N_DEVICES];
    Bulkhead__GuestMemory memory;
    Bulkhead__Stats stats;
    uint64_t latency[STATS_LATENCY_BUCKETS];
};

static void fill_process(Bulkhead__ProcessInfo *p, const char *name, Bulkhead__Role role, bool big)
{
    bulkhead__process_info__init(p);
    p->name = (char *)(uintptr_t)name;
    p->role = role;
    p->pid = big ? 4194304 : 0;
    p->restarts = big ? UINT32_MAX : 2;
    p->state = (char *)(uintptr_t)(big ? "configured" : "running");
}

static void fill_counters(Bulkhead__Counters *c, uint64_t *latency, uint64_t v)
{
    bulkhead__counters__init(c);
    c->read_ops = c->read_bytes = c->write_ops = c->write_bytes = c->flush_ops = v;
    c->discard_ops = c->errors = c->dropped = c->inflight = c->kicks = c->interrupts = v;
    c->throttled = c->connections = c->balloon_bytes = c->guest_faults = c->oldest_ns = v;
    c->latency = latency;
    c->n_latency = STATS_LATENCY_BUCKETS;
}

static void fill_answers(struct answers *a, uint64_t v, bool big)
{
    static const struct {
        const char *name;
        Bulkhead__Role role;
    } of[] = { { "disk0", BULKHEAD__ROLE__ROLE_BLK },
               { "a-device-of-20-bytes", BULKHEAD__ROLE__ROLE_NET },
               { "balloon", BULKHEAD__ROLE__ROLE_BALLOON } };

    memset(a, 0, sizeof(*a));
    bulkhead__process_list__init(&a->list);
    bulkhead__stats__init(&a->stats);
    bulkhead__guest_memory__init(&a->memory);
    a->memory.total = a->memory.free = a->memory.available = v;
    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS; i++)
        a->latency[i] = i < 5 ? 0 : v / 64;
    for (unsigned i = 0; i < N_DEVICES; i++) {
        Bulkhead__DeviceStats *d = &a->devices[i];

        fill_process(&a->processes[i], of[i].name, of[i].role, big);
        a->process_list[i] = &a->processes[i];
        bulkhead__device_stats__init(d);
        d->name = (char *)(uintptr_t)of[i].name;
        d->role = of[i].role;
        d->restarts = a->processes[i].restarts;
        fill_counters(&a->counters[i], a->latency, v);
        d->counters = &a->counters[i];
        a->device_list[i] = d;
    }
    a->counters[2].guest_memory = &a->memory;
    a->list.vm = (char *)(uintptr_t) "a-name-as-long-as-a-name-of-a-vm-may-ever-be-48-b";
    a->list.state = (char *)(uintptr_t) "running";
    a->list.ram_size = 1ull << 40;
    a->list.processes = a->process_list;
    a->list.n_processes = N_PROCESSES;
    a->stats.devices = a->device_list;
    a->stats.n_devices = N_DEVICES;
}

static struct top_sample *sample(uint64_t time_ns, uint64_t v, bool big)
{
    static const struct kin any = { .hidden = true };
    static struct answers a;
    struct top_sample *s = calloc(1, sizeof(*s));

    fill_answers(&a, v, big);
    top_take_processes(s, &a.list, &any);
    top_take_devices(s, &a.stats);
    s->time_ns = time_ns;
    return s;
}

static char *print(const struct top_sample *now, const struct top_sample *before)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    top_print(out, now, before);
    fclose(out);
    return text;
}

static void test_rates(void **state)
{
    struct top_sample *before = sample(1000000000, 1000, false);
    struct top_sample *now = sample(3000000000, 5096, false);
    char *text = print(now, before);

    (void)state;
    /* 4096 more in two seconds; of the buckets 5 to 31 the middle one, and the last but none */
    if (!strstr(
            text,
            "disk0           2048   2.0K  2048    2.0K  5096 <256ms <2048s  5096  5096     2\n"))
        fail_msg("%s", text);
    assert_non_null(strstr(text, "5.0K given back; the guest has 5.0K, free 5.0K, available 5.0K"));
    free(text);
    text = print(before, now); /* counters that go back: nothing happened */
    assert_non_null(strstr(text, "disk0              0     0B     0      0B  1000      -      -"));
    free(text);
    free(before);
    free(now);
}

static void test_fits_80_columns(void **state)
{
    static const uint64_t values[] = { 0, 999, 99999, 100000, 999499, 123456789, UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct top_sample *before = sample(1, 0, true);
        struct top_sample *now = sample(2, values[i], true); /* a nanosecond later */
        char *text = print(now, before);

        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            if (strlen(line) > 80)
                fail_msg("%zu columns: '%s'", strlen(line), line);
        free(text);
        free(before);
        free(now);
    }
}

static void test_percentiles(void **state)
{
    uint64_t now[STATS_LATENCY_BUCKETS] = { 0 }, before[STATS_LATENCY_BUCKETS] = { 0 };

    (void)state;
    assert_int_equal(top_percentile_us(now, NULL, 0.5), 0);
    now[3] = 98;
    now[10] = 2;
    assert_int_equal(top_percentile_us(now, NULL, 0.5), 8);
    assert_int_equal(top_percentile_us(now, NULL, 0.99), 1024);
    before[3] = 98;
    assert_int_equal(top_percentile_us(now, before, 0.5), 1024);
    before[10] = 9; /* more than now */
    assert_int_equal(top_percentile_us(now, before, 0.5), 0);
}

/* What a worker counts falls under the edge that is shown, and not under the one before. */
static void test_buckets(void **state)
{
    static const struct {
        uint64_t took_us, shown_us;
    } cases[] = { { 0, 1 },
                  { 1, 2 },
                  { 2, 4 },
                  { 3, 4 },
                  { 4, 8 },
                  { 63, 64 },
                  { 64, 128 },
                  { 1023, 1024 },
                  { 1024, 2048 },
                  { 1ull << 30, 1ull << 31 },
                  { UINT64_MAX / 1000, 1ull << 31 } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stats_page page = { 0 };

        stats_count_latency(&page, cases[i].took_us * 1000, 3);
        assert_int_equal(top_percentile_us(page.latency_ns, NULL, 0.5), cases[i].shown_us);
    }
}

/* Whatever device it is. */
static void test_latency_of_all(void **state)
{
    struct top_sample *before = sample(1000000000, 1000, false);
    struct top_sample *now = sample(3000000000, 5096, false);
    char *text = print(now, before);
    json_t *o = top_json(now);
    unsigned lines = 0;

    (void)state;
    for (size_t i = 0; i < now->n_devices; i++) {
        const json_t *d = json_array_get(json_object_get(o, "devices"), i);

        assert_int_equal(json_integer_value(json_object_get(d, "latency_p50_us")), 1 << 18);
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        lines += strstr(line, " <256ms <2048s ") != NULL;
    assert_int_equal(lines, now->n_devices);
    json_decref(o);
    free(text);
    free(before);
    free(now);
}

static void test_pressure(void **state)
{
    struct top_sample *s = sample(1, 640, false);
    char *text = print(s, s);
    json_t *o = top_json(s), *all;

    (void)state;
    assert_null(strstr(text, "waited"));
    assert_true(json_is_null(json_object_get(json_object_get(o, "pressure"), "io")));
    free(text);
    json_decref(o);
    s->pressure.cpu = pressure_parse("some avg10=12.34 avg60=1.00 avg300=0.50 total=71400960\n"
                                     "full avg10=3.00 avg60=0.00 avg300=0.00 total=7\n");
    s->pressure.io = pressure_parse("some avg10=100.00 avg60=1.00 avg300=0.50 total=1\n");
    s->pressure.memory = pressure_parse("");
    text = print(s, s);
    assert_non_null(strstr(
        text, "waited, of the last 10 s: for a CPU 12.3%, for memory 0.0%, for I/O 100.0%\n"));
    all = top_json(s);
    o = json_object_get(all, "pressure");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(o, "cpu"), "some_total_us")), 71400960);
    assert_true(json_real_value(json_object_get(json_object_get(o, "cpu"), "full_avg10")) > 2.9);
    assert_true(json_is_null(json_object_get(o, "memory")));
    json_decref(all);
    free(text);
    free(s);
}

/* The group above a core's is its VM's only where the VM has groups. */
static void test_place_of_a_core(void **state)
{
    static const struct {
        const char *text;
        bool is;
    } cases[] = {
        { "0::/bulkhead-12/core\n", true },
        { "4:memory:/x\n0::/system.slice/bulkhead-12-2/core\n", true },
        { "0::/bulkhead-1/x/bulkhead-7/core\n", true },
        { "0::/user.slice/session-3.scope\n", false },
        { "0::/bulkhead-12\n", false },
        { "0::/bulkhead-vms.service/core\n", false },
        { "0::/bulkhead-12/core/more\n", false },
        { "0::/bulkhead-12/cores\n", false },
        { "4:memory:/bulkhead-12/core\n0::/\n", false },
        { "4:memory:/bulkhead-12/core\n", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (vm_group_is_cores(cases[i].text) != cases[i].is)
            fail_msg("%s", cases[i].text);
}

static void test_json(void **state)
{
    struct top_sample *s = sample(1, 640, false);
    json_t *o = top_json(s);
    const json_t *disk = json_array_get(json_object_get(o, "devices"), 0);
    const json_t *balloon = json_array_get(json_object_get(o, "devices"), 2);
    static const char *const keys[] = {
        "read_ops", "read_bytes",  "write_ops",    "write_bytes",  "flush_ops",  "discard_ops",
        "errors",   "dropped",     "inflight",     "oldest_ns",    "interrupts", "throttled",
        "kicks",    "connections", "guest_faults", "balloon_bytes"
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (json_integer_value(json_object_get(disk, keys[i])) != 640)
            fail_msg("%s", keys[i]);
    assert_string_equal(json_string_value(json_object_get(disk, "role")), "blk");
    assert_int_equal(json_integer_value(json_object_get(disk, "restarts")), 2);
    assert_int_equal(json_array_size(json_object_get(disk, "latency_us_log2")),
                     STATS_LATENCY_BUCKETS);
    assert_null(json_object_get(disk, "guest_memory"));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(balloon, "guest_memory"), "available")),
        640);
    assert_int_equal(json_array_size(json_object_get(o, "processes")), N_PROCESSES);
    json_decref(o);
    free(s);
}

/* ---- the real program on a terminal; the test is its broker ---- */

struct fixture {
    char dir[40], path[64];
    int listener, master;
    pid_t pid;
    char text[65536];
    size_t len;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    snprintf(f->dir, sizeof(f->dir), "/tmp/bulkhead-top-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    setenv("BULKHEAD_RUNDIR", f->dir, 1);
    snprintf(f->path, sizeof(f->path), "%s/alpha", f->dir);
    mkdir(f->path, 0700);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", f->path);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    *state = f;
    return bind(f->listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
                   listen(f->listener, 4) < 0
               ? -1
               : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char sock[96];

    snprintf(sock, sizeof(sock), "%s/control.sock", f->path);
    close(f->listener);
    unlink(sock);
    rmdir(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void answer(struct channel *channel, const Bulkhead__ClientEnvelope *request)
{
    static struct answers a;
    static uint64_t v = 64;
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;

    fill_answers(&a, v += 1000, false);
    e.id = request->id;
    if (request->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES) {
        e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST;
        e.process_list = &a.list;
    } else {
        assert_int_equal(request->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_GET_STATS);
        e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_STATS;
        e.stats = &a.stats;
    }
    assert_int_equal(channel_send_raw(channel, &e.base, NULL, 0, true), 0);
}

/* Plays broker and terminal until the screen has shown `want`, or the program has gone. */
static void play(struct fixture *f, struct channel *channel, const char *want)
{
    while (!want || !strstr(f->text, want)) {
        struct pollfd p[2] = { { .fd = f->master, .events = POLLIN },
                               { .fd = channel ? channel_fd(channel) : -1, .events = POLLIN } };
        ssize_t n;

        assert_true(poll(p, 2, TIMEOUT_MS) > 0);
        if (p[1].revents) {
            ProtobufCMessage *msg = NULL;
            size_t n_fds;
            int *fds;

            if (channel_receive_raw(channel, false, &bulkhead__client_envelope__descriptor, &msg,
                                    &fds, &n_fds) != 0)
                channel = NULL;
            else
                answer(channel, (const Bulkhead__ClientEnvelope *)msg);
        }
        if (!p[0].revents)
            continue;
        n = read(f->master, f->text + f->len, sizeof(f->text) - 1 - f->len);
        if (n <= 0) {
            assert_null(want);
            return;
        }
        f->len += (size_t)n;
        f->text[f->len] = '\0';
    }
}

static void on_terminal(struct fixture *f, unsigned short columns, unsigned short rows, int how)
{
    struct winsize size = { .ws_col = columns, .ws_row = rows };
    struct termios before = { 0 }, after = { 0 }; /* tcgetattr() leaves the padding as it is */
    struct channel *channel = NULL;
    int slave, status;
    char *frame;

    f->len = 0;
    f->text[0] = '\0';
    assert_int_equal(openpty(&f->master, &slave, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(slave, &before), 0);
    f->pid = fork();
    if (f->pid == 0) {
        setsid();
        dup2(slave, 0);
        dup2(slave, 1);
        dup2(slave, 2);
        execl(BULKHEAD_PROGRAM, "bulkhead", "top", "alpha", NULL);
        _exit(127);
    }
    assert_int_equal(
        channel_new(&channel, accept4(f->listener, NULL, NULL, SOCK_CLOEXEC), CHANNEL_ARENA_BROKER),
        0);
    play(f, channel, "\033[J");
    channel_freep(&channel); /* the broker dies, and another takes over */
    assert_int_equal(
        channel_new(&channel, accept4(f->listener, NULL, NULL, SOCK_CLOEXEC), CHANNEL_ARENA_BROKER),
        0);
    frame = strstr(f->text, "\033[J");
    frame[2] = '_'; /* the next one is a new sample's */
    play(f, channel, "\033[J");
    frame[2] = 'J';
    if (how != 0) {
        kill(f->pid, how);
    } else {
        close(f->listener);
        f->listener = -1;
        channel_freep(&channel); /* the VM ends */
    }
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(tcgetattr(slave, &after), 0);
    close(slave);
    play(f, NULL, NULL);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_memory_equal(&before, &after, sizeof(before));
    channel_freep(&channel);
    close(f->master);
}

static void test_terminal(void **state)
{
    static const int ways[] = { SIGINT, SIGTERM, SIGHUP, 0 };
    static const char *const back = "\033[?25h\033[?1049l";
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        on_terminal(f, 80, 24, ways[i]);
        assert_memory_equal(f->text, "\033[?1049h\033[?25l", 14);
        assert_non_null(strstr(f->text, "disk0"));
        assert_true(f->len >= strlen(back));
        assert_string_equal(f->text + f->len - strlen(back), back);
    }
}

/* A small window: what doesn't fit is cut, nothing scrolls. */
static void test_small_window(void **state)
{
    struct fixture *f = *state;
    char *frame, *end;
    unsigned lines = 1;

    on_terminal(f, 40, 5, SIGINT);
    frame = strstr(f->text, "\033[H");
    assert_non_null(frame);
    frame += 3;
    end = strstr(frame, "\033[J");
    assert_non_null(end);
    *end = '\0';
    for (char *line = frame; line; lines++) {
        char *next = strstr(line, "\r\n");
        char *stop = strstr(line, "\033[K");

        assert_non_null(stop);
        assert_true(stop - line <= 40);
        line = next ? next + 2 : NULL;
    }
    assert_int_equal(lines - 1, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_fits_80_columns),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_latency_of_all),
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_place_of_a_core),
        cmocka_unit_test(test_json),
        cmocka_unit_test_setup_teardown(test_terminal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_window, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
