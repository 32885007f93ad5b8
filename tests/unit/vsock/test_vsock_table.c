/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock_table.c - the connection table full, emptied, and its line of those who wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "vsock/vsock_table.h"
#include <cmocka.h>

static struct vsock_table *make(void)
{
    struct vsock_table *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    assert_int_equal(vsock_table_init(t), 0);
    return t;
}

static void unmake(struct vsock_table *t)
{
    munmap(t->buffers, (size_t)VSOCK_MAX_CONNECTIONS * VSOCK_BUFFER_BYTES);
    free(t);
}

static struct vsock_conn *add(struct vsock_table *t, uint32_t host, uint32_t guest)
{
    struct vsock_conn *c = vsock_table_new(t);

    if (c) {
        c->state = VSOCK_OPEN;
        vsock_table_enter(t, c, host, guest);
    }
    return c;
}

static void test_full_and_again(void **state)
{
    struct vsock_table *t = make();

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < VSOCK_MAX_CONNECTIONS; i++)
            assert_non_null(add(t, 5000, i)); /* one host port: the hash must still spread */
        assert_null(vsock_table_new(t));
        assert_int_equal(t->n_used, VSOCK_MAX_CONNECTIONS);
        for (uint32_t i = 0; i < VSOCK_MAX_CONNECTIONS; i++) {
            struct vsock_conn *c = vsock_table_find(t, 5000, i);

            assert_non_null(c);
            assert_int_equal(c->guest_port, i);
            vsock_table_free(t, c);
            assert_null(vsock_table_find(t, 5000, i));
        }
        assert_int_equal(t->n_used, 0);
    }
    unmake(t);
}

/* An answer for a connection that has ended must not reach the one that took its place. */
static void test_stale_token(void **state)
{
    struct vsock_table *t = make();
    struct vsock_conn *c = add(t, 1, 2), *again;
    uint32_t token = vsock_table_token(t, c);

    (void)state;
    assert_ptr_equal(vsock_table_by_token(t, token), c);
    vsock_table_free(t, c);
    assert_null(vsock_table_by_token(t, token));
    again = add(t, 1, 2);
    assert_ptr_equal(again, c);
    assert_null(vsock_table_by_token(t, token));
    assert_null(vsock_table_by_token(t, 0xffffffff));
    unmake(t);
}

static void test_ports_differ(void **state)
{
    struct vsock_table *t = make();
    uint32_t a = vsock_table_port(t, 7), b;

    (void)state;
    assert_non_null(add(t, a, 7));
    t->next_host_port = a; /* as after the wrap */
    b = vsock_table_port(t, 7);
    assert_int_not_equal(a, b);
    unmake(t);
}

static void test_line_is_fair(void **state)
{
    struct vsock_table *t = make();
    struct vsock_conn *a = add(t, 1, 1), *b = add(t, 1, 2), *c = add(t, 1, 3);

    (void)state;
    vsock_table_wait(t, a);
    vsock_table_wait(t, b);
    vsock_table_wait(t, c);
    vsock_table_wait(t, a); /* once is enough */
    vsock_table_free(t, b); /* out of the middle */
    assert_ptr_equal(t->wait_first, a);
    vsock_table_unwait(t, a);
    assert_ptr_equal(t->wait_first, c);
    vsock_table_wait(t, a);
    vsock_table_unwait(t, c);
    assert_ptr_equal(t->wait_first, a);
    vsock_table_unwait(t, a);
    assert_null(t->wait_first);
    assert_null(t->wait_last);
    unmake(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_and_again),
        cmocka_unit_test(test_stale_token),
        cmocka_unit_test(test_ports_differ),
        cmocka_unit_test(test_line_is_fair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
