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
        int old = store->fds[first + i];

        store->fds[first + i] = fds[i];
        fds[i] = old;
    }
    return 0;
}

static unsigned take(struct store *store, uint32_t from, uint32_t to, struct handed *ret_fds)
{
    ret_fds->n = 0;
    for (uint32_t i = from; i < to && ret_fds->n < HANDED_MAX; i++)
        if (store->fds[i] >= 0)
            ret_fds->fds[ret_fds->n++] = fd_take(&store->fds[i]);
    return ret_fds->n;
}

unsigned store_take(struct store *store, uint32_t first, uint32_t n, struct handed *ret_fds)
{
    uint32_t from = MIN(first, (uint32_t)KEEP_PLACES);

    return take(store, MAX(from, (uint32_t)KEEP_FIXED), from + MIN(n, KEEP_PLACES - from), ret_fds);
}

unsigned store_take_all(struct store *store, struct handed *ret_fds)
{
    return take(store, 0, KEEP_PLACES, ret_fds);
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
