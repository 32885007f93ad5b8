/* SPDX-License-Identifier: Apache-2.0 */
/* byte_ring_test.c - order, bounds, and peers that lie about their index. */
#include "test.h"

#include <string.h>
#include "shm/byte_ring.h"

static struct byte_ring_shared shared;

static void setup(struct byte_ring *producer, struct byte_ring *consumer)
{
    memset(&shared, 0, sizeof shared);
    byte_ring_attach_producer(producer, &shared);
    byte_ring_attach_consumer(consumer, &shared);
}

static void bytes_keep_their_order_across_the_wrap(void **state)
{
    struct byte_ring p, c;
    uint8_t in[777], out[777], next_in = 0, next_out = 0;
    size_t total = 0;

    (void)state;
    setup(&p, &c);
    while (total < 5 * BYTE_RING_DATA_BYTES) {
        size_t n;

        for (size_t i = 0; i < sizeof in; i++)
            in[i] = next_in++;
        assert_int_equal(byte_ring_put(&p, in, sizeof in), sizeof in);
        n = byte_ring_peek(&c, out, sizeof out);
        assert_int_equal(n, sizeof in);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(out[i], next_out++);
        byte_ring_consume(&c, n);
        total += n;
    }
}

static void full_ring_takes_no_more(void **state)
{
    static uint8_t big[BYTE_RING_DATA_BYTES + 100];
    struct byte_ring p, c;

    (void)state;
    setup(&p, &c);
    assert_int_equal(byte_ring_put(&p, big, sizeof big), BYTE_RING_DATA_BYTES);
    assert_int_equal(byte_ring_room(&p), 0);
    byte_ring_drop(&p, 100);
    assert_int_equal(shared.dropped, 100);
    byte_ring_consume(&c, 10);
    assert_int_equal(byte_ring_room(&p), 10);
}

static void lying_consumer_gains_nothing(void **state)
{
    struct byte_ring p, c;

    (void)state;
    setup(&p, &c);
    assert_int_equal(byte_ring_put(&p, "abc", 3), 3);
    shared.head = 1000000; /* says it has read what was never written */
    assert_int_equal(byte_ring_room(&p), 0);
    assert_int_equal(byte_ring_put(&p, "abc", 3), 0);
}

static void lying_producer_only_empties_the_ring(void **state)
{
    struct byte_ring p, c;
    uint8_t out[64];

    (void)state;
    setup(&p, &c);
    shared.tail = BYTE_RING_DATA_BYTES + 1;
    assert_int_equal(byte_ring_peek(&c, out, sizeof out), 0);
    assert_int_equal(shared.head, BYTE_RING_DATA_BYTES + 1);
}

static void new_consumer_takes_up_where_the_old_one_was(void **state)
{
    struct byte_ring p, c, replacement;
    char out[8];

    (void)state;
    setup(&p, &c);
    byte_ring_put(&p, "abcdef", 6);
    byte_ring_consume(&c, 4);
    byte_ring_attach_consumer(&replacement, &shared);
    assert_int_equal(byte_ring_peek(&replacement, out, sizeof out), 2);
    assert_memory_equal(out, "ef", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_keep_their_order_across_the_wrap),
        cmocka_unit_test(full_ring_takes_no_more),
        cmocka_unit_test(lying_consumer_gains_nothing),
        cmocka_unit_test(lying_producer_only_empties_the_ring),
        cmocka_unit_test(new_consumer_takes_up_where_the_old_one_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
