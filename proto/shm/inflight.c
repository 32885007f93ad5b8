/* SPDX-License-Identifier: Apache-2.0 */
/* inflight.c - see inflight.h. The order of the stores is the point: every prefix of them, as a
 * SIGKILL leaves it, is one that inflight_recover() can read. */
#include "shm/inflight.h"

#include <string.h>

enum { VERSION = 1 };

void inflight_attach(struct inflight *j, void *region, unsigned queue_size, int resume)
{
    struct inflight_region *r = region;

    *j = (struct inflight){ .region = r, .counter = 1 };
    if (!r)
        return;
    if (!resume || r->version != VERSION || r->desc_num != queue_size) {
        memset(r, 0, sizeof *r + queue_size * sizeof r->desc[0]);
        r->version = VERSION;
        r->desc_num = (uint16_t)queue_size;
    }
}

void inflight_begin(struct inflight *j, uint16_t head)
{
    struct inflight_region *r = j->region;

    if (!r || head >= r->desc_num)
        return;
    r->desc[head].counter = j->counter++;
    __atomic_store_n(&r->desc[head].inflight, 1, __ATOMIC_RELEASE);
}

void inflight_complete_begin(struct inflight *j, uint16_t head, unsigned place)
{
    struct inflight_region *r = j->region;

    if (!r || head >= r->desc_num)
        return;
    r->desc[head].batch = (uint8_t)(place + 1);
    r->desc[head].next = r->last_batch_head;
    __atomic_store_n(&r->last_batch_head, head, __ATOMIC_RELEASE);
}

void inflight_complete_end(struct inflight *j, uint16_t head, uint16_t used_idx)
{
    struct inflight_region *r = j->region;

    if (!r || head >= r->desc_num)
        return;
    __atomic_store_n(&r->desc[head].inflight, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&r->used_idx, used_idx, __ATOMIC_RELEASE);
}

bool inflight_used_is_ours(const struct inflight_region *r, uint16_t guest_used_idx)
{
    uint16_t ahead = (uint16_t)(guest_used_idx - r->used_idx);

    return ahead == 0 ||
           (r->last_batch_head < r->desc_num && ahead == r->desc[r->last_batch_head].batch);
}

/* Insertion sort by order of arrival: no heap, which a sandboxed worker need not have. */
static void sort_heads(const struct inflight_region *r, uint16_t *heads, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        uint16_t head = heads[i];
        unsigned at = i;

        while (at > 0 && r->desc[heads[at - 1]].counter > r->desc[head].counter) {
            heads[at] = heads[at - 1];
            at--;
        }
        heads[at] = head;
    }
}

unsigned inflight_recover(struct inflight *j, uint16_t guest_used_idx, uint16_t *ret_heads,
                          unsigned max_heads)
{
    struct inflight_region *r = j->region;
    unsigned n = 0;

    if (!r)
        return 0;
    /* Died after used.idx was stored and before the journal said so: the heads of that batch are
     * done, as many as used.idx went ahead. */
    if (r->used_idx != guest_used_idx) {
        uint16_t ahead = (uint16_t)(guest_used_idx - r->used_idx), head = r->last_batch_head;

        for (; ahead > 0 && head < r->desc_num; ahead--) {
            r->desc[head].inflight = 0;
            head = r->desc[head].next;
        }
        r->used_idx = guest_used_idx;
    }
    for (uint16_t head = 0; head < r->desc_num && n < max_heads; head++) {
        if (r->desc[head].inflight != 1)
            continue;
        ret_heads[n++] = head;
        if (r->desc[head].counter >= j->counter)
            j->counter = r->desc[head].counter + 1;
    }
    sort_heads(r, ret_heads, n);
    return n;
}
