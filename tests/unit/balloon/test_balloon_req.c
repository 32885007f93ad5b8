/* SPDX-License-Identifier: Apache-2.0 */
/* test_balloon_req.c - pages and ranges become few checked holes; others' pages never do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "balloon/balloon_req.h"
#include <cmocka.h>

enum { PAGES = 16, PAGE = BALLOON_PAGE_BYTES };
#define HIGH 0x100000000ull

struct holes {
    unsigned n;
    uint64_t at[32], len[32];
};

static uint8_t *low, *high;
static struct gmem mem;

static int setup(void **state)
{
    (void)state;
    low = aligned_alloc(PAGE, PAGES * PAGE);
    high = aligned_alloc(PAGE, PAGES * PAGE);
    gmem_init_for_test(&mem, 0, low, PAGES * PAGE);
    return gmem_add_for_test(&mem, HIGH, high, PAGES * PAGE);
}

static int teardown(void **state)
{
    (void)state;
    free(low);
    free(high);
    return 0;
}

static void on_hole(void *arg, gpa_t at, uint64_t len)
{
    struct holes *h = arg;

    assert_true(h->n < ARRAY_SIZE(h->at));
    h->at[h->n] = at.v;
    h->len[h->n++] = len;
}

static void test_gathers(void **state)
{
    static const struct {
        uint32_t pfns[8];
        unsigned n, holes;
        uint64_t at0, len0;
    } cases[] = {
        { { 1, 2, 3 }, 3, 1, PAGE, 3 * PAGE }, /* rising */
        { { 3, 2, 1 }, 3, 1, PAGE, 3 * PAGE }, /* falling */
        { { 5, 6, 4, 3 }, 4, 1, 3 * PAGE, 4 * PAGE },
        { { 1, 3, 5 }, 3, 3, PAGE, PAGE },
        { { 7, 7 }, 2, 2, 7 * PAGE, PAGE }, /* named twice: harmless */
        { { 0 }, 1, 1, 0, PAGE },
        { { 15 }, 1, 1, 15 * PAGE, PAGE }, /* the last one of low RAM */
        { { 0 }, 0, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct balloon_run run;
        struct holes h = { 0 };

        balloon_run_init(&run, &mem, on_hole, &h);
        for (unsigned k = 0; k < cases[i].n; k++)
            assert_int_equal(balloon_run_page(&run, cases[i].pfns[k]), 0);
        balloon_run_end(&run);
        balloon_run_end(&run); /* nothing twice */
        assert_int_equal(h.n, cases[i].holes);
        if (h.n > 0) {
            assert_int_equal(h.at[0], cases[i].at0);
            assert_int_equal(h.len[0], cases[i].len0);
        }
        assert_int_equal(run.bytes, (uint64_t)cases[i].n * PAGE);
    }
}

static void test_pages_of_nobody(void **state)
{
    static const uint32_t bad[] = { 16, 17, 0xfffff, 0x100010, 0x7fffffff, 0xffffffff };
    struct balloon_run run;
    struct holes h = { 0 };

    (void)state;
    balloon_run_init(&run, &mem, on_hole, &h);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(balloon_run_page(&run, bad[i]), GMEM_E_RANGE);
    balloon_run_end(&run);
    assert_int_equal(h.n, 0);
}

/* Low RAM's last page and high RAM's first follow each other in the file, but not for the guest. */
static void test_high_ram(void **state)
{
    struct balloon_run run;
    struct holes h = { 0 };

    (void)state;
    balloon_run_init(&run, &mem, on_hole, &h);
    assert_int_equal(balloon_run_page(&run, PAGES - 1), 0);
    assert_int_equal(balloon_run_page(&run, HIGH / PAGE), 0);
    assert_int_equal(balloon_run_page(&run, HIGH / PAGE + 1), 0);
    balloon_run_end(&run);
    assert_int_equal(h.n, 2);
    assert_int_equal(h.at[1], HIGH);
    assert_int_equal(h.len[1], 2 * PAGE);
}

static void test_ranges_are_shrunk_to_pages(void **state)
{
    static const struct {
        uint64_t gpa, len, at, hole;
    } cases[] = {
        { 0, 4 * PAGE, 0, 4 * PAGE },
        { 1, 4 * PAGE - 1, PAGE, 3 * PAGE }, /* begins in a page */
        { PAGE, 2 * PAGE - 1, PAGE, PAGE },  /* ends in one */
        { PAGE + 1, PAGE, 0, 0 },            /* no whole page in it */
        { PAGE - 1, PAGE + 2, PAGE, PAGE },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct balloon_run run;
        struct holes h = { 0 };
        struct gslice slice;

        assert_int_equal(gmem_slice(&mem, GPA(cases[i].gpa), cases[i].len, &slice), 0);
        balloon_run_init(&run, &mem, on_hole, &h);
        assert_int_equal(balloon_run_slice(&run, slice, 0), slice.len_);
        balloon_run_end(&run);
        assert_int_equal(h.n, cases[i].hole != 0);
        if (h.n) {
            assert_int_equal(h.at[0], cases[i].at);
            assert_int_equal(h.len[0], cases[i].hole);
        }
    }
}

/* However long it is, a hole is never more than a piece, and the pieces make up the whole. */
static void test_pieces(void **state)
{
    const size_t len = 3 * (size_t)BALLOON_PIECE_BYTES;
    const uint64_t n_pages = len / PAGE;
    struct balloon_run run;
    struct holes h = { 0 };
    struct gslice slice;
    struct gmem large;
    uint8_t *ram = aligned_alloc(PAGE, len); /* none of it is touched */
    size_t at = 0, steps = 0;

    (void)state;
    assert_non_null(ram);
    gmem_init_for_test(&large, 0, ram, len);
    assert_int_equal(gmem_slice(&large, GPA(1), len - 2, &slice), 0);
    balloon_run_init(&run, &large, on_hole, &h);
    for (; at < slice.len_; steps++)
        at = balloon_run_slice(&run, slice, at);
    balloon_run_end(&run);
    assert_int_equal(steps, 3);
    assert_int_equal(run.bytes, len - 2 * PAGE);
    assert_int_equal(h.n, 3);
    assert_int_equal(h.at[1], BALLOON_PIECE_BYTES);

    h.n = 0;
    balloon_run_init(&run, &large, on_hole, &h);
    for (uint32_t pfn = 0; pfn < n_pages; pfn++)
        assert_int_equal(balloon_run_page(&run, pfn), 0);
    balloon_run_end(&run);
    assert_int_equal(h.n, 3);
    for (unsigned i = 0; i < h.n; i++)
        assert_int_equal(h.len[i], BALLOON_PIECE_BYTES);
    free(ram);
}

static void test_stats(void **state)
{
    uint8_t data[35] = { 0 };
    uint64_t got[4] = { 0 };

    (void)state;
    data[0] = 1;
    data[2] = 0x34;
    data[3] = 0x12;
    data[10] = 200; /* no such tag */
    data[12] = 0xff;
    data[20] = 3;
    data[22] = 7;
    data[30] = 2; /* cut short */
    balloon_stats_parse(data, sizeof(data), got, ARRAY_SIZE(got));
    assert_int_equal(got[0], 0);
    assert_int_equal(got[1], 0x1234);
    assert_int_equal(got[2], 0);
    assert_int_equal(got[3], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gathers),  cmocka_unit_test(test_pages_of_nobody),
        cmocka_unit_test(test_high_ram), cmocka_unit_test(test_ranges_are_shrunk_to_pages),
        cmocka_unit_test(test_pieces),   cmocka_unit_test(test_stats),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
