/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - see store.h. */
#include "spawner/store.h"

#include <errno.h>
#include "base/err.h"
#include "base/fd.h"

void store_init(struct store *store)
{
    for (unsigned i = 0; i < KEEP_PLACES; i++)
        store->fds[i] = -1;
}

int store_put(struct store *store, bool sealed, uint32_t first, int *fds, unsigned n_fds)
{
    if (n_fds == 0 || first >= KEEP_PLACES || n_fds > KEEP_PLACES - first)
        return err_origin(-EINVAL, "%u descriptors to be kept in place %u", n_fds, first);
    if (sealed && first < KEEP_FIXED)
        return err_origin(-EPERM, "place %u after the seal", first);
    for (unsigned i = 0; i < n_fds; i++) {
        fd_closep(&store->fds[first + i]);
        store->fds[first + i] = fd_take(&fds[i]);
    }
    return 0;
}

void store_drop(struct store *store, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < KEEP_PLACES && i - first < n; i++)
        if (i >= KEEP_FIXED)
            fd_closep(&store->fds[i]);
}

bool store_suffices(const struct store *store)
{
    return store->fds[KEEP_SEALED] >= 0 && store->fds[KEEP_RECORD] >= 0;
}

unsigned store_next(const struct store *store, uint32_t first, unsigned max, uint32_t *ret_first)
{
    unsigned n = 0;

    while (first < KEEP_PLACES && store->fds[first] < 0)
        first++;
    while (n < max && first + n < KEEP_PLACES && store->fds[first + n] >= 0)
        n++;
    *ret_first = first;
    return n;
}

void store_clear(struct store *store)
{
    for (unsigned i = 0; i < KEEP_PLACES; i++)
        fd_closep(&store->fds[i]);
}
