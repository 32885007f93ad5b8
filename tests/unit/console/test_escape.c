/* SPDX-License-Identifier: Apache-2.0 */
/* test_escape.c - which keys are ours, whole and split over two reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "console/escape.h"
#include <cmocka.h>

static const struct {
    const char *in, *want;
    unsigned actions;
} cases[] = {
    { "abc", "abc", 0 },
    { "\1x", "", ESCAPE_LEAVE },
    { "\1X", "", ESCAPE_LEAVE },
    { "ls\1xls", "lsls", ESCAPE_LEAVE },
    { "\1\1x", "\1x", 0 }, /* a literal Ctrl-A, then an x of no meaning */
    { "\1ax", "\1x", 0 },
    { "\1h", "", ESCAPE_HELP },
    { "\1h\1x", "", ESCAPE_HELP | ESCAPE_LEAVE },
    { "\1b", "\1b", 0 }, /* not ours: the guest gets both */
    { "\1\1\1x", "\1", ESCAPE_LEAVE },
    { "x", "x", 0 },
    { "\1", "", 0 }, /* waits for the next key */
};

static void test_whole_and_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].in);

        for (size_t cut = 0; cut <= len; cut++) {
            struct escape e = { 0 };
            const uint8_t *in = (const uint8_t *)cases[i].in;
            uint8_t out[32];
            unsigned first = 0, second = 0;
            size_t n = escape_filter(&e, in, cut, out, &first);

            n += escape_filter(&e, in + cut, len - cut, out + n, &second);
            assert_int_equal(n, strlen(cases[i].want));
            assert_memory_equal(out, cases[i].want, n);
            assert_int_equal(first | second, cases[i].actions);
        }
    }
}

static void test_output_bound(void **state)
{
    struct escape e = { .pending = true };
    uint8_t in[64], out[66];
    unsigned actions;

    (void)state;
    memset(in, 'b', sizeof(in)); /* the pending Ctrl-A comes out too: len + 1 */
    out[65] = 0xee;
    assert_int_equal(escape_filter(&e, in, sizeof(in), out, &actions), 65);
    assert_int_equal(out[65], 0xee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_split),
        cmocka_unit_test(test_output_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
