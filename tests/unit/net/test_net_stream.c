/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_stream.c - frames cut anywhere by the stream, and lengths no frame can have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "net/net_stream.h"
#include <cmocka.h>

enum { SIZE = NET_STREAM_PREFIX_BYTES + NET_MAX_FRAME_BYTES };

static size_t put_frame(uint8_t *dst, uint32_t len, uint8_t fill)
{
    net_stream_prefix(dst, len);
    memset(dst + NET_STREAM_PREFIX_BYTES, fill, len);
    return NET_STREAM_PREFIX_BYTES + len;
}

/* Feeds the stream in pieces of `step` bytes, as far as there is room. */
static unsigned feed(struct net_stream_in *in, const uint8_t *src, size_t total, size_t step)
{
    static const uint32_t lens[] = { 14, 60, 1514, NET_MAX_FRAME_BYTES, 14 };
    unsigned frames = 0;
    size_t at = 0;

    while (at < total || frames < ARRAY_SIZE(lens)) {
        const uint8_t *frame;
        uint8_t *dst;
        size_t len, room;
        int r;

        while ((r = net_stream_next(in, &frame, &len)) == 0) {
            assert_int_equal(len, lens[frames]);
            assert_int_equal(frame[0], frames + 1);
            assert_int_equal(frame[len - 1], frames + 1);
            frames++;
        }
        assert_int_equal(r, NET_STREAM_EMPTY);
        if (at == total)
            break;
        room = net_stream_room(in, &dst);
        assert_true(room > 0);
        room = MIN(MIN(room, step), total - at);
        memcpy(dst, src + at, room);
        net_stream_received(in, room);
        at += room;
    }
    return frames;
}

static void test_cut_anywhere(void **state)
{
    static const size_t steps[] = { 1, 3, 4, 5, 17, 1000, 1 << 20 };
    static uint8_t src[2 * SIZE], mem[SIZE]; /* the smallest buffer that is allowed */
    size_t total = 0;

    (void)state;
    total += put_frame(src + total, 14, 1);
    total += put_frame(src + total, 60, 2);
    total += put_frame(src + total, 1514, 3);
    total += put_frame(src + total, NET_MAX_FRAME_BYTES, 4);
    total += put_frame(src + total, 14, 5);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct net_stream_in in;

        net_stream_in_init(&in, mem, sizeof(mem));
        assert_int_equal(feed(&in, src, total, steps[i]), 5);
    }
}

static void test_impossible_lengths(void **state)
{
    static const uint32_t lens[] = { 0, 13, NET_MAX_FRAME_BYTES + 1, 0x7fffffff, 0xffffffff };
    static uint8_t mem[SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        struct net_stream_in in;
        const uint8_t *frame;
        uint8_t *dst;
        size_t len;

        net_stream_in_init(&in, mem, sizeof(mem));
        (void)net_stream_room(&in, &dst);
        net_stream_prefix(dst, lens[i]);
        net_stream_received(&in, NET_STREAM_PREFIX_BYTES);
        assert_int_equal(net_stream_next(&in, &frame, &len), NET_STREAM_LIES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_impossible_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
