/* SPDX-License-Identifier: Apache-2.0 */
/* test_fifo.c - the buffer that drops its oldest bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "common/fifo.h"
#include <cmocka.h>

static size_t drain(struct fifo *fifo, char *dst)
{
    const uint8_t *data;
    size_t len, total = 0;

    while ((len = fifo_peek(fifo, &data)) > 0) {
        memcpy(dst + total, data, len);
        total += len;
        fifo_consume(fifo, len);
    }
    return total;
}

static void test_order_over_the_end(void **state)
{
    uint8_t mem[8];
    char out[16];
    struct fifo f;

    (void)state;
    fifo_init(&f, mem, sizeof(mem));
    assert_int_equal(fifo_put(&f, "abcdef", 6), 0);
    fifo_consume(&f, 4);
    assert_int_equal(fifo_put(&f, "ghijkl", 6), 0); /* wraps */
    assert_int_equal(fifo_room(&f), 0);
    assert_int_equal(drain(&f, out), 8);
    assert_memory_equal(out, "efghijkl", 8);
}

static void test_oldest_go_first(void **state)
{
    static const struct {
        const char *first, *second, *want;
        size_t dropped;
    } cases[] = {
        { "abcdefgh", "", "abcdefgh", 0 },      /* exactly full */
        { "abcdefgh", "i", "bcdefghi", 1 },     /* one too many */
        { "abc", "0123456789", "23456789", 5 }, /* a put larger than the buffer */
        { "", "0123456789abcdef", "89abcdef", 8 }, { "abcdefgh", "01234567", "01234567", 8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t mem[8];
        char out[16];
        struct fifo f;
        size_t dropped;

        fifo_init(&f, mem, sizeof(mem));
        dropped = fifo_put(&f, cases[i].first, strlen(cases[i].first));
        dropped += fifo_put(&f, cases[i].second, strlen(cases[i].second));
        assert_int_equal(dropped, cases[i].dropped);
        assert_int_equal(drain(&f, out), strlen(cases[i].want));
        assert_memory_equal(out, cases[i].want, strlen(cases[i].want));
    }
}

static void test_consume_is_bounded(void **state)
{
    uint8_t mem[4];
    char out[8];
    struct fifo f;

    (void)state;
    fifo_init(&f, mem, sizeof(mem));
    (void)fifo_put(&f, "ab", 2);
    fifo_consume(&f, 100);
    assert_int_equal(f.len_bytes, 0);
    assert_int_equal(fifo_put(&f, "cd", 2), 0);
    assert_int_equal(drain(&f, out), 2);
    assert_memory_equal(out, "cd", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_over_the_end),
        cmocka_unit_test(test_oldest_go_first),
        cmocka_unit_test(test_consume_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
