// SPDX-License-Identifier: Apache-2.0
// test_fleet_course.c - what is done next for a fleet, whatever came of what was done; the line that makes a VM ready; which
// descriptions are the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/compare.h"
#include "fleet/course.h"
#include "fleet/match.h"

/* ---- the course: db (with a condition) <- web <- (started) edge; log waits for db's start; net for nobody ---- */

enum { DB, WEB, EDGE, LOG, NET, N };

static struct fleet_after after_web[] = { { .name = "db", .when = WHEN_READY, .vm = DB } };
static struct fleet_after after_edge[] = { { .name = "web", .when = WHEN_STARTED, .vm = WEB } };
static struct fleet_after after_log[] = { { .name = "db", .when = WHEN_STARTED, .vm = DB } };
static struct fleet_vm vms[N] = {
    [DB] = { .name = "db", .ready = { .kind = READY_TEXT } },
    [WEB] = { .name = "web", .after = after_web, .n_after = 1 },
    [EDGE] = { .name = "edge", .after = after_edge, .n_after = 1 },
    [LOG] = { .name = "log", .after = after_log, .n_after = 1 },
    [NET] = { .name = "net" },
};
static struct fleet_vm *const pointers[N] = { &vms[DB], &vms[WEB], &vms[EDGE], &vms[LOG],
                                              &vms[NET] };

struct state {
    struct fleet fleet;
    struct course_vm vms[N];
    struct course course;
};

static void begin(struct state *s, bool down)
{
    *s = (struct state){ .fleet = { .n = N } };
    s->fleet.vms = (struct fleet_vm **)(uintptr_t)pointers;
    s->course = (struct course){ .fleet = &s->fleet, .down = down, .at_once = 8, .vms = s->vms };
}

static void all_run(struct state *s)
{
    for (size_t i = 0; i < N; i++)
        s->vms[i].there = s->vms[i].runs = true;
}

/* All that may be done now: "create db, create net". */
static const char *next(struct state *s)
{
    static const char *const words[] = {
        [OP_AWAIT_STOP] = "await", [OP_REMOVE] = "remove", [OP_CREATE] = "create",
        [OP_START] = "start",      [OP_READY] = "ready",   [OP_HALT] = "halt",
    };
    static char text[256];
    enum course_op op;
    size_t vm;

    text[0] = '\0';
    while (course_next(&s->course, &vm, &op))
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s", text[0] ? ", " : "",
                 words[op], vms[vm].name);
    return text;
}

static void test_up(void **state)
{
    struct state s;

    (void)state;
    begin(&s, false);
    assert_string_equal(next(&s), "create db, create net");
    assert_string_equal(next(&s), ""); /* it is under way */
    course_done(&s.course, NET, true);
    assert_string_equal(next(&s), "");
    course_done(&s.course, DB, true); /* it runs */
    assert_string_equal(next(&s), "ready db, create log");
    course_done(&s.course, LOG, true);
    assert_string_equal(next(&s), "");
    course_done(&s.course, DB, true); /* it is ready */
    assert_string_equal(next(&s), "create web");
    course_done(&s.course, WEB, true);
    assert_string_equal(next(&s), "create edge");
    assert_false(course_is_over(&s.course));
    course_done(&s.course, EDGE, true);
    assert_string_equal(next(&s), "");
    assert_true(course_is_over(&s.course));
    assert_int_equal(course_count(&s.course, END_DONE), N);
}

/* Those that wait for who failed are skipped, and those that wait for these; a start is enough for who waits for that. */
static void test_up_failures(void **state)
{
    struct state s;

    (void)state;
    begin(&s, false);
    next(&s);
    course_done(&s.course, DB, false);
    assert_string_equal(next(&s), "");
    assert_int_equal(s.vms[WEB].end, END_SKIPPED);
    assert_int_equal(s.vms[EDGE].end, END_SKIPPED);
    assert_int_equal(s.vms[EDGE].because, WEB);
    assert_int_equal(s.vms[LOG].end, END_SKIPPED);
    course_done(&s.course, NET, true);
    next(&s);
    assert_true(course_is_over(&s.course));
    assert_int_equal(course_count(&s.course, END_DONE), 1);

    begin(&s, false); /* it runs, and is never ready */
    next(&s);
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "ready db, create log");
    course_done(&s.course, DB, false);
    next(&s);
    assert_int_equal(s.vms[WEB].end, END_SKIPPED);
    assert_int_equal(s.vms[LOG].end, END_NONE);
}

/* What is there is left as it is, but for what doesn't run. */
static void test_up_again(void **state)
{
    struct state s;

    (void)state;
    begin(&s, false);
    all_run(&s);
    assert_string_equal(next(&s), "ready db");
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "");
    assert_true(course_is_over(&s.course));

    begin(&s, false);
    all_run(&s);
    s.vms[WEB].runs = false;
    s.vms[EDGE].runs = false;
    s.vms[EDGE].leaves = true;
    assert_string_equal(next(&s), "ready db"); /* web waits, as if it came up for the first time */
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "start web");
    course_done(&s.course, WEB, true);
    assert_string_equal(next(&s), "await edge");
    course_done(&s.course, EDGE, true);
    assert_string_equal(next(&s), "start edge");
}

static void test_up_differs(void **state)
{
    struct state s;

    (void)state;
    begin(&s, false);
    all_run(&s);
    s.vms[DB].differs = true;
    s.vms[LOG].there = s.vms[LOG].runs = false;
    assert_string_equal(next(&s), "");
    assert_int_equal(s.vms[DB].end, END_FAILED);
    assert_int_equal(s.vms[LOG].end, END_SKIPPED);
    assert_int_equal(s.vms[WEB].end, END_DONE); /* it runs */

    begin(&s, false);
    all_run(&s);
    s.course.recreate = true;
    s.vms[DB].differs = true;
    s.vms[LOG].there = s.vms[LOG].runs = false;
    assert_string_equal(next(&s), "remove db"); /* what runs is not the one that log waits for */
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "create db");
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "ready db, create log");
}

/* Who is waited for takes no place of those that the service is at. */
static void test_at_once(void **state)
{
    struct state s;

    (void)state;
    begin(&s, false);
    s.course.at_once = 1;
    assert_string_equal(next(&s), "create db");
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "ready db, create log");
    course_done(&s.course, LOG, true);
    assert_string_equal(next(&s), "create net");
    course_done(&s.course, DB, true);
    assert_string_equal(next(&s), "");
    course_done(&s.course, NET, true);
    assert_string_equal(next(&s), "create web");
}

static void test_down(void **state)
{
    struct state s;

    (void)state;
    begin(&s, true);
    all_run(&s);
    s.vms[NET].runs = false;
    assert_string_equal(next(&s), "halt edge, halt log");
    assert_int_equal(s.vms[NET].end, END_DONE);
    course_done(&s.course, LOG, true);
    assert_string_equal(next(&s), "");
    course_done(&s.course, EDGE, true);
    assert_string_equal(next(&s), "halt web");
    course_done(&s.course, WEB, true);
    assert_string_equal(next(&s), "halt db");
    course_done(&s.course, DB, true);
    next(&s);
    assert_true(course_is_over(&s.course));

    begin(&s, true); /* what others need stays as long as these do */
    all_run(&s);
    next(&s);
    course_done(&s.course, EDGE, false);
    course_done(&s.course, LOG, true);
    next(&s);
    assert_int_equal(s.vms[WEB].end, END_SKIPPED);
    assert_int_equal(s.vms[DB].end, END_SKIPPED);

    begin(&s, true);
    s.course.remove = true;
    s.vms[LOG].there = s.vms[DB].there = true;
    s.vms[LOG].runs = true;
    assert_string_equal(next(&s), "halt log");
    course_done(&s.course, LOG, true);
    assert_string_equal(next(&s), "remove log");
    course_done(&s.course, LOG, true);
    assert_string_equal(next(&s), "remove db");
    course_done(&s.course, DB, true);
    next(&s);
    assert_true(course_is_over(&s.course));
}

/* ---- a line ---- */

static void test_match(void **state)
{
    static const struct {
        const char *text;
        bool regex;
        const char *written;
        size_t found; /* after so many bytes; 0: never */
    } cases[] = {
        { "ready", false, "not yet\r\nnow ready\r\n", 18 },
        { "ready", false, "rea\ndy", 0 },
        { "login: ", false, "x\nlogin: ", 9 }, /* a line that never ends */
        { "a\tb", false, "a\tb", 3 },
        { "^up$", true, "set up\nupper\nup\n", 16 }, /* only where it ends */
        { "^up", true, "set up\nup", 9 },
        { "x{3}", true, "xx\nx\nxxx", 8 },
        { "ab", false, "a\rb", 3 },
        { "ready", false, "re\033[0mady", 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t step = 1; step <= strlen(cases[i].written); step++) {
            size_t len = strlen(cases[i].written), at = 0, n;
            struct match m;
            bool found = false;

            assert_int_equal(match_init(&m, cases[i].text, cases[i].regex), 0);
            while (at < len && !found) {
                n = at + step > len ? len - at : step;
                found = match_feed(&m, cases[i].written + at, n);
                at += n;
            }
            match_deinit(&m);
            if (found != (cases[i].found > 0) || (found && at < cases[i].found))
                fail_msg("'%s' by %zu: %d after %zu", cases[i].written, step, found, at);
        }
}

/* However long a line is; a zero byte doesn't end it. */
static void test_match_long(void **state)
{
    static char junk[MATCH_LINE_BYTES + 100];
    struct match m;

    (void)state;
    memset(junk, 'x', sizeof(junk));
    for (size_t len = MATCH_LINE_BYTES - 6; len < sizeof(junk); len++) {
        assert_int_equal(match_init(&m, "ready", false), 0);
        assert_false(match_feed(&m, junk, len));
        assert_false(match_feed(&m, "\0rea", 4));
        assert_true(match_feed(&m, "dyxxx", 5));
        match_deinit(&m);
    }
    assert_int_equal(match_init(&m, "(", true), -22);
}

/* ---- descriptions ---- */

struct spec {
    Bulkhead__VmSpec spec;
    Bulkhead__VmConfig config;
    Bulkhead__MemoryConfig memory;
    Bulkhead__DiskConfig disk;
    Bulkhead__DiskConfig *disks[2];
    Bulkhead__VsockConfig vsock;
    Bulkhead__KeyValue labels[2];
    Bulkhead__KeyValue *label_pointers[2];
    char texts[8][16];
};

static void make_spec(struct spec *s)
{
    *s = (struct spec){ .texts = { "web", "/k", "/d", "a", "1", "b", "2", "disk0" } };
    bulkhead__vm_spec__init(&s->spec);
    bulkhead__vm_config__init(&s->config);
    bulkhead__memory_config__init(&s->memory);
    bulkhead__disk_config__init(&s->disk);
    bulkhead__vsock_config__init(&s->vsock);
    s->spec.config = &s->config;
    s->config.name = s->texts[0];
    s->config.kernel = s->texts[1];
    s->config.memory = &s->memory;
    s->config.disks = s->disks;
    s->config.n_disks = 1;
    s->disks[0] = s->disks[1] = &s->disk;
    s->disk.path = s->texts[2];
    for (size_t i = 0; i < 2; i++) {
        bulkhead__key_value__init(&s->labels[i]);
        s->labels[i].key = s->texts[3 + 2 * i];
        s->labels[i].value = s->texts[4 + 2 * i];
        s->label_pointers[i] = &s->labels[i];
    }
    s->spec.labels = s->label_pointers;
    s->spec.n_labels = 2;
}

/* What the service keeps of it. */
static void fill_spec(struct spec *s)
{
    make_spec(s);
    s->disk.id = s->texts[7];
    s->disk.num_queues = 1;
    s->disk.queue_size = 128;
    s->config.crash_limit = 5;
    s->config.vsock = &s->vsock;
    s->memory.size = 512 << 20;
    s->label_pointers[0] = &s->labels[1];
    s->label_pointers[1] = &s->labels[0];
}

static void expect(const struct spec *ours, const struct spec *kept, const char *want)
{
    struct bag bag = { 0 };
    const char *got = compare_specs(&bag, &ours->spec, &kept->spec);

    if (want)
        assert_string_equal(got, want);
    else
        assert_null(got);
    bag_free(&bag);
}

static void test_compare(void **state)
{
    struct spec ours, kept;

    (void)state;
    make_spec(&ours);
    fill_spec(&kept);
    ours.config.trace_start_ns = 7;
    expect(&ours, &kept, NULL);
    ours.memory.size = 512 << 20;
    expect(&ours, &kept, NULL);
    ours.memory.size = 1 << 30;
    expect(&ours, &kept, "config.memory.size");
    ours.memory.size = 0;
    kept.memory.thp = 1; /* that we say one way or the other */
    expect(&ours, &kept, "config.memory.thp");
    fill_spec(&kept);
    kept.vsock.enabled = 1; /* it was there, and isn't any more */
    expect(&ours, &kept, "config.vsock.enabled");
    fill_spec(&kept);
    kept.disk.readonly = 1;
    expect(&ours, &kept, "config.disks[0].readonly");
    kept.config.n_disks = 2;
    expect(&ours, &kept, "config.disks");
    fill_spec(&kept);
    strcpy(kept.texts[2], "/e");
    expect(&ours, &kept, "config.disks[0].path");
    fill_spec(&kept);
    strcpy(kept.texts[4], "3");
    expect(&ours, &kept, "labels");
    fill_spec(&kept);
    kept.spec.n_labels = 1;
    expect(&ours, &kept, "labels");
    fill_spec(&kept);
    kept.spec.autostart = 1;
    expect(&ours, &kept, "autostart");
    kept.spec.config = NULL;
    expect(&ours, &kept, "config");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up),       cmocka_unit_test(test_up_failures),
        cmocka_unit_test(test_up_again), cmocka_unit_test(test_up_differs),
        cmocka_unit_test(test_at_once),  cmocka_unit_test(test_down),
        cmocka_unit_test(test_match),    cmocka_unit_test(test_match_long),
        cmocka_unit_test(test_compare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
