/* SPDX-License-Identifier: Apache-2.0 */
/* vq_life_test.c - interrupts and kicks, restarts, and a guest that rewrites the ring as it is read. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "vq_fixture.h"

/* ---- interrupts and kicks ---- */

static unsigned interrupts(struct fixture *f)
{
    unsigned n = (unsigned)f->interrupts;

    fd_event_drain(f->call_fd);
    f->interrupts = 0;
    return n;
}

static void complete_one(struct fixture *f)
{
    struct vq_chain chain;

    publish_pair(f, 2 * (f->avail_idx % 8));
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, chain.head, 0);
}

static void interrupts_by_flag(void **state)
{
    struct fixture *f = *state;

    activate(f, SIZE, 0, false);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0); /* nothing to tell */
    complete_one(f);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1); /* one for the batch */
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
    put16(f, AVAIL, VRING_AVAIL_F_NO_INTERRUPT);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
}

static void a_look_finds_new_work(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    assert_false(vq_has_work(f->vq)); /* nobody waits for it: it was never empty */
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
    assert_false(vq_has_work(f->vq));
    publish_pair(f, 2);
    assert_true(vq_has_work(f->vq));
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_unpop(f->vq, &chain); /* there, but not wanted now */
    assert_false(vq_has_work(f->vq));
    vq_deactivate(f->vq);
    assert_false(vq_has_work(f->vq));
}

/* A frame's buffers that are not enough: a look finds those behind them, not these again and again. */
static void a_look_passes_over_what_was_given_back(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chains[2], more;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    publish_pair(f, 2);
    assert_int_equal(vq_pop(f->vq, &chains[0]), 0);
    assert_int_equal(vq_pop(f->vq, &chains[1]), 0);
    assert_int_equal(vq_pop(f->vq, &more), VQ_EMPTY);
    vq_unpop(f->vq, &chains[1]);
    vq_unpop(f->vq, &chains[0]);
    assert_false(vq_has_work(f->vq));
    publish_pair(f, 4);
    assert_true(vq_has_work(f->vq));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(vq_pop(f->vq, &more), 0);
    assert_int_equal(vq_pop(f->vq, &more), VQ_EMPTY);
    assert_false(vq_has_work(f->vq));
}

static void interrupts_by_event_index(void **state)
{
    struct fixture *f = *state;

    activate(f, SIZE, EVENT_IDX, false);
    put16(f, AVAIL, VRING_AVAIL_F_NO_INTERRUPT); /* not looked at */
    put16(f, AVAIL + 4 + 2 * SIZE, 1);           /* wants to know of the second */
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1);
    complete_one(f);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
    put16(f, AVAIL + 4 + 2 * SIZE, 5);
    for (unsigned i = 0; i < 4; i++)
        complete_one(f); /* passes over it within a batch */
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1);
}

static void kicks_by_flag(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    vq_disable_kicks(f->vq);
    assert_int_equal(get16(f, USED), VRING_USED_F_NO_NOTIFY);
    assert_false(vq_enable_kicks(f->vq));
    assert_int_equal(get16(f, USED), 0);
    publish_pair(f, 0);
    assert_true(vq_enable_kicks(f->vq)); /* came between */
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_false(vq_rearm(f->vq)); /* wasn't found empty */
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
    publish_pair(f, 2);
    assert_true(vq_rearm(f->vq));
    assert_false(vq_rearm(f->vq));
}

static void kicks_by_event_index(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, EVENT_IDX, false);
    for (unsigned i = 0; i < 5; i++) {
        publish_pair(f, 2 * i);
        assert_int_equal(vq_pop(f->vq, &chain), 0);
    }
    assert_false(vq_enable_kicks(f->vq));
    assert_int_equal(get16(f, USED + 4 + 8 * SIZE), 5);
    assert_int_equal(get16(f, USED), 0);
}

/* Three buffers were looked at and given back, for a fourth is needed: the kick is wanted for that. */
static void kicks_behind_what_was_given_back(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chains[3], extra;

    activate(f, SIZE, EVENT_IDX, false);
    for (unsigned i = 0; i < 3; i++)
        publish_pair(f, 2 * i);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(vq_pop(f->vq, &chains[i]), 0);
        assert_int_equal(vq_pop(f->vq, &extra), VQ_EMPTY);
        for (unsigned i = 3; i > 0; i--)
            vq_unpop(f->vq, &chains[i - 1]);
        assert_false(vq_rearm(f->vq)); /* or it would look again and again */
        assert_int_equal(get16(f, USED + 4 + 8 * SIZE), 3);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(vq_pop(f->vq, &chains[i]), 0);
    assert_int_equal(vq_pop(f->vq, &extra), VQ_EMPTY);
    for (unsigned i = 3; i > 0; i--)
        vq_unpop(f->vq, &chains[i - 1]);
    publish_pair(f, 6);
    assert_true(vq_rearm(f->vq));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(vq_pop(f->vq, &chains[i]), 0);
    assert_int_equal(vq_pop(f->vq, &extra), 0);
}

/* ---- restart ---- */

static void a_new_worker_takes_up_the_journal(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, EVENT_IDX, false);
    for (unsigned i = 0; i < 6; i++)
        publish_pair(f, 2 * i);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, 4, 0); /* heads 0 2 6 8 are in flight, 10 was not fetched */
    vq_free(f->vq);
    f->vq = new_vq(f);
    activate(f, SIZE, EVENT_IDX, true);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1); /* the dead one's may never have left */
    for (unsigned i = 0; i < 4; i++) {
        static const uint16_t want[] = { 0, 2, 6, 8 };

        assert_int_equal(vq_pop(f->vq, &chain), 0);
        assert_int_equal(chain.head, want[i]);
        assert_true(chain.replayed);
        if (i == 1) {
            vq_unpop(f->vq, &chain);
            assert_true(vq_enable_kicks(f->vq));
            assert_int_equal(vq_pop(f->vq, &chain), 0);
            assert_int_equal(chain.head, 2);
        }
    }
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.head, 10);
    assert_false(chain.replayed);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
    vq_push(f->vq, 10, 0);
    assert_int_equal(get16(f, USED + 2), 2);
}

/* The worker died between used.idx and the journal: that head is not done twice. */
static void the_step_between_index_and_journal(void **state)
{
    struct fixture *f = *state;
    struct inflight_region *region = f->journal;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    publish_pair(f, 2);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, 2, 0);
    region->desc[2].inflight = 1; /* as it was just after used.idx was stored */
    region->used_idx = 0;
    vq_free(f->vq);
    f->vq = new_vq(f);
    activate(f, SIZE, 0, true);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.head, 0);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
}

/* What is staged the guest sees at once or, when the worker dies before, not at all. */
static void a_batch_is_seen_at_once(void **state)
{
    struct fixture *f = *state;
    struct inflight_region *region = f->journal;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++)
            publish_pair(f, 2 * i);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(vq_pop(f->vq, &chain), 0);
            assert_int_equal(chain.replayed, round == 1);
            vq_stage(f->vq, chain.head, i + 1);
            assert_int_equal(get16(f, USED + 2), 0);
        }
        if (round == 1)
            break;
        f->avail_idx = 0;
        vq_free(f->vq);
        f->vq = new_vq(f);
        activate(f, SIZE, 0, true);
    }
    vq_publish(f->vq);
    assert_int_equal(get16(f, USED + 2), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(get16(f, USED + 4 + 8 * i), 2 * i);
        assert_int_equal(get16(f, USED + 8 + 8 * i), i + 1);
    }
    for (unsigned i = 0; i < 3; i++)
        region->desc[2 * i].inflight = 1; /* as it was just after used.idx was stored */
    region->used_idx = 0;
    vq_free(f->vq);
    f->vq = new_vq(f);
    activate(f, SIZE, 0, true);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
}

static void a_used_index_of_the_guests_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    put16(f, USED + 2, 1234);
    activate(f, SIZE, 0, true);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.head, 0);
    vq_push(f->vq, 0, 0);
    assert_int_equal(get16(f, USED + 2), 1);
}

static void a_journal_of_rubbish_does_no_harm(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    for (unsigned seed = 0; seed < 200; seed++) {
        uint8_t *bytes = f->journal;
        struct inflight_region *region = f->journal;

        clear(f);
        srand(seed);
        for (size_t i = 0; i < inflight_region_bytes(SIZE); i++)
            bytes[i] = (uint8_t)rand();
        region->version = 1;
        region->desc_num = SIZE;
        activate(f, SIZE, 0, true);
        for (unsigned i = 0; i < 2 * SIZE && vq_pop(f->vq, &chain) == 0; i++)
            vq_push(f->vq, chain.head, 0);
    }
}

/* ---- a guest that rewrites the ring while it is read ---- */

static void rewrite_forever(struct fixture *f)
{
    static const uint64_t addresses[] = {
        DATA, LOW_BYTES - 1, HIGH_BASE, MMIO, UINT64_MAX, 0x6000
    };
    unsigned x = 1;

    for (;;) {
        unsigned i;

        x = x * 1103515245 + 12345;
        i = x >> 16;
        put_desc(f, i & 1 ? DESC : 0x6000, i / 2 % SIZE, addresses[i % 6],
                 i % 7 ? i % 64 : UINT32_MAX, (uint16_t)(i % 8), (uint16_t)(i % 20));
        put16(f, AVAIL + 2, (uint16_t)(get16(f, AVAIL + 2) + i % 3));
        put16(f, AVAIL + 4 + 2 * (i % SIZE), (uint16_t)(i % 18));
    }
}

static void touch(const struct vq_chain *chain)
{
    uint8_t buf[64];

    for (unsigned i = 0; i < chain->n_read; i++)
        (void)vq_chain_read(chain, 0, buf, sizeof buf);
    (void)vq_chain_write(chain, 0, buf, sizeof buf);
}

static void concurrent_rewrites_stay_inside(void **state)
{
    struct fixture *f = *state;
    unsigned popped = 0, refused = 0;
    pid_t guest = fork();

    assert_true(guest >= 0);
    if (guest == 0)
        rewrite_forever(f);
    activate(f, SIZE, EVENT_IDX | INDIRECT, false);
    for (unsigned i = 0; i < 300000; i++) {
        struct vq_chain chain;
        int r = vq_pop(f->vq, &chain);

        if (r == 0) {
            touch(&chain);
            vq_push(f->vq, chain.head, 1);
            popped++;
        } else if (r == VQ_E_GUEST) {
            refused++;
            put16(f, AVAIL + 2, 0);
            activate(f, SIZE, EVENT_IDX | INDIRECT, false);
        }
        if (vq_enable_kicks(f->vq))
            vq_notify(f->vq);
        fd_event_drain(f->call_fd);
    }
    kill(guest, SIGKILL);
    waitpid(guest, NULL, 0);
    assert_true(refused > 0);
    (void)popped; /* depends on who runs when */
}

/* Their memory is gone: any access would be the end. */
static void without_its_rings_it_touches_nothing(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, EVENT_IDX, false);
    publish_pair(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, 0, 0);
    publish_pair(f, 2);
    assert_true(vq_touches(f->vq, 0));
    assert_false(vq_touches(f->vq, 1));
    vq_lose_rings(f->vq);
    assert_false(vq_touches(f->vq, 0));
    assert_int_equal(mprotect(f->low, LOW_BYTES, PROT_NONE), 0);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST);
    vq_notify(f->vq);
    vq_disable_kicks(f->vq);
    assert_false(vq_enable_kicks(f->vq));
    (void)vq_rearm(f->vq);
    (void)vq_has_work(f->vq);
    assert_int_equal(mprotect(f->low, LOW_BYTES, PROT_READ | PROT_WRITE), 0);
    clear(f);
    activate(f, SIZE, EVENT_IDX, false);
    publish_pair(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(interrupts_by_flag),
        T(a_look_finds_new_work),
        T(a_look_passes_over_what_was_given_back),
        T(interrupts_by_event_index),
        T(kicks_by_flag),
        T(kicks_behind_what_was_given_back),
        T(kicks_by_event_index),
        T(a_new_worker_takes_up_the_journal),
        T(the_step_between_index_and_journal),
        T(a_batch_is_seen_at_once),
        T(a_used_index_of_the_guests_is_not_believed),
        T(a_journal_of_rubbish_does_no_harm),
        T(concurrent_rewrites_stay_inside),
        T(without_its_rings_it_touches_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
