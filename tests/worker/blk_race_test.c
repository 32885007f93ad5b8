/* SPDX-License-Identifier: Apache-2.0 */
/* blk_race_test.c - one guest processor rewrites descriptors, requests and indices while the other
 * kicks: the worker refuses, is reset, and works. Under ASan and TSan builds: no report. */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "blk_driver.h"
#include <cmocka.h>

#define MIB (1ull << 20)
enum { KICKS = 4000 };

static void rewrite_forever(struct blkd *d)
{
    struct wh_queue *queue = &d->wh->queues[0];
    const uint64_t addresses[] = { blkd_header(d, 0), blkd_header(d, 1) + 16,
                                   d->data,           d->data + MIB,
                                   queue->desc,       queue->avail,
                                   queue->used,       d->wh->ram_bytes - 1,
                                   0xc0000000,        UINT64_MAX };
    struct virtio_blk_outhdr *header = wh_mem(d->wh, blkd_header(d, 0), sizeof *header);
    unsigned x = (unsigned)getpid();

    for (;;) {
        unsigned i;

        x = x * 1103515245 + 12345;
        i = x >> 12;
        queue->vring.desc[i % 32] = (struct vring_desc){ .addr = addresses[i % 10],
                                                         .len = i % 5 ? i % 3 ? 16 : 4096 : 1,
                                                         .flags = (uint16_t)(i / 32 % 8),
                                                         .next = (uint16_t)(i / 256 % 40) };
        header->type = i % 16;
        header->sector = i % 7 ? i % 100 : UINT64_MAX;
        queue->vring.avail->ring[i % queue->size] = (uint16_t)(i % 33);
        queue->vring.avail->idx = (uint16_t)(queue->vring.avail->idx + i % 2);
    }
}

static void race(const struct blkd_options *o)
{
    struct blkd *d = blkd_new(o);
    pid_t other = fork();
    unsigned resets = 0;

    assert_true(other >= 0);
    if (other == 0)
        rewrite_forever(d);
    for (unsigned i = 0; i < KICKS; i++) {
        wh_kick_always(d->wh, 0);
        if (!wh_has_message(d->wh, i % 8 == 0))
            continue;
        wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
        wh_reset(d->wh);
        wh_activate(d->wh, d->features, false);
        resets++;
    }
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    assert_true(resets > 0);
    wh_send_reset(d->wh);
    while (wh_has_message(d->wh, WH_PATIENCE_MS)) {
        struct message msg = { 0 };

        assert_int_equal(channel_receive(d->wh->channel, true, &msg), 0);
        if (msg.envelope->body_case == BULKHEAD__ENVELOPE__BODY_RESET_DONE)
            break;
        assert_int_equal(msg.envelope->body_case, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    }
    wh_activate(d->wh, d->features, false);
    assert_int_equal(blkd_write(d, 0, d->data, 4096), VIRTIO_BLK_S_OK);
    assert_int_equal(blkd_read(d, 0, d->data + MIB, 4096), VIRTIO_BLK_S_OK);
    assert_memory_equal(wh_mem(d->wh, d->data, 4096), wh_mem(d->wh, d->data + MIB, 4096), 4096);
    assert_int_equal(WEXITSTATUS(wh_stop(d->wh)), 0);
    blkd_free(d);
}

static void a_racing_guest_harms_itself(void **state)
{
    (void)state;
    race(&(struct blkd_options){ .bytes = 8 * MIB, .discard = true });
    race(&(struct blkd_options){ .bytes = 8 * MIB, .discard = true, .no_uring = true });
    race(&(struct blkd_options){
        .bytes = 8 * MIB, .discard = true, .direct = true, .block_size = 4096 });
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_racing_guest_harms_itself) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
