/* SPDX-License-Identifier: Apache-2.0 */
/* store_test.c - the places in which the spawner keeps descriptors: bounded, and what is fixed stays. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include "spawner/store.h"
#include <cmocka.h>

static struct store store;

static int a_file(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void close_taken(const struct handed *taken)
{
    for (unsigned i = 0; i < taken->n; i++)
        close(taken->fds[i]);
}

static void drop(struct store *from, uint32_t first, uint32_t n)
{
    struct handed taken;

    while (store_take(from, first, n, &taken) > 0)
        close_taken(&taken);
}

static void drop_all(struct store *from)
{
    struct handed taken;

    while (store_take_all(from, &taken) > 0)
        close_taken(&taken);
}

static void what_was_there_is_closed(void **state)
{
    int first = a_file(), second, fds[2] = { first, a_file() };

    (void)state;
    store_init(&store);
    assert_int_equal(store_put(&store, true, KEEP_RAM, fds, 2), 0);
    assert_int_equal(fds[0], -1); /* taken over */
    second = fds[0] = fcntl(first, F_DUPFD_CLOEXEC, first + 10);
    assert_int_equal(store_put(&store, true, KEEP_RAM, fds, 1), 0);
    assert_int_equal(fds[0], first); /* the caller's again */
    close(first);
    assert_true(is_open(second));
    drop(&store, KEEP_RAM, 1);
    assert_false(is_open(second));
    drop_all(&store);
}

static void places_have_an_end(void **state)
{
    int fds[2] = { a_file(), a_file() };

    (void)state;
    store_init(&store);
    assert_true(store_put(&store, false, KEEP_PLACES, fds, 1) < 0);
    assert_true(store_put(&store, false, KEEP_PLACES - 1, fds, 2) < 0);
    assert_true(store_put(&store, false, UINT32_MAX, fds, 2) < 0);
    assert_true(store_put(&store, false, KEEP_RAM, fds, 0) < 0);
    assert_true(is_open(fds[0])); /* the caller's still */
    assert_int_equal(store_put(&store, false, KEEP_PLACES - 2, fds, 2), 0);
    drop(&store, UINT32_MAX, UINT32_MAX);
    drop(&store, 0, UINT32_MAX);
    for (unsigned i = 0; i < KEEP_PLACES; i++)
        assert_int_equal(store.fds[i], -1);
}

static void what_was_sealed_stays(void **state)
{
    int fds[1] = { a_file() }, other[1] = { a_file() }, sealed = fds[0];

    (void)state;
    store_init(&store);
    assert_false(store_suffices(&store));
    assert_int_equal(store_put(&store, false, KEEP_SEALED, fds, 1), 0);
    fds[0] = a_file();
    assert_int_equal(store_put(&store, false, KEEP_RECORD, fds, 1), 0);
    assert_true(store_suffices(&store));
    assert_true(store_put(&store, true, KEEP_SEALED, other, 1) < 0);
    assert_true(store_put(&store, true, KEEP_RECORD, other, 1) < 0);
    drop(&store, KEEP_SEALED, KEEP_PLACES);
    assert_int_equal(store.fds[KEEP_SEALED], sealed);
    assert_true(is_open(sealed));
    close(other[0]);
    drop_all(&store);
}

/* Runs of full places, in order, none longer than is asked for. */
static void all_of_it_is_handed_on(void **state)
{
    static const unsigned places[] = { 0, 1, 2, KEEP_RAM, KEEP_PLACES - 1 };
    unsigned n = 0, found = 0;
    uint32_t at = 0;

    (void)state;
    store_init(&store);
    for (unsigned i = 0; i < 5; i++) {
        int fds[1] = { a_file() };

        assert_int_equal(store_put(&store, false, places[i], fds, 1), 0);
    }
    while ((n = store_next(&store, at, 2, &at)) > 0) {
        assert_true(n <= 2);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(at + i, places[found++]);
        at += n;
    }
    assert_int_equal(found, 5);
    drop_all(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_there_is_closed),
        cmocka_unit_test(places_have_an_end),
        cmocka_unit_test(what_was_sealed_stays),
        cmocka_unit_test(all_of_it_is_handed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
