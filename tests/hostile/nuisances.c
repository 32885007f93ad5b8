/* SPDX-License-Identifier: Apache-2.0 */
/* nuisances.c - what a worker may do with what it holds: lie about its rings, storm, fall silent.
 * It costs its own device; whether the others notice is for the test to say. The order is by how
 * much the device's own driver suffers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/loop.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_state.h"
#include "hostile.h"
#include "shm/inflight.h"

enum { STORM = 20000, SILENT_MS = 20000 };

static struct {
    void *journal;
    size_t journal_bytes;
    struct vq_addresses rings;
} seen;

void hostile_see_queue(const struct vq_config *config)
{
    if (config->index != 0)
        return;
    seen.journal = config->inflight_region;
    seen.journal_bytes = inflight_region_bytes(config->max_size);
}

void hostile_see_rings(const struct vq_addresses *a)
{
    if (seen.rings.size == 0)
        seen.rings = *a; /* queue 0's */
}

static long storm(struct worker *w, unsigned kicks)
{
    for (int i = 0; i < STORM; i++)
        for (unsigned q = 0; q < w->n_queues; q++)
            fd_event_signal(kicks ? w->queues[q].kick_fd : w->queues[q].call_fd);
    return 0;
}

static long full_counters(struct worker *w, unsigned unused)
{
    const uint64_t most = UINT64_MAX - 1;

    (void)unused;
    for (unsigned q = 0; q < w->n_queues; q++)
        if (write(w->queues[q].call_fd, &most, sizeof most) < 0 ||
            write(w->queues[q].kick_fd, &most, sizeof most) < 0)
            continue; /* full already */
    return 0;
}

static long flood_log(struct worker *w, unsigned unused)
{
    static const char line[] = "\x1b[2J%n%s hostile noise \x07\n";

    (void)w;
    (void)unused;
    for (int i = 0; i < STORM; i++)
        if (write(FD_LOG, line, sizeof line - 1) < 0 && errno != EAGAIN)
            return -errno;
    return 0;
}

static long garble_stats(struct worker *w, unsigned byte)
{
    memset(w->stats, (int)byte, HOSTILE_BOX_OFFSET);
    return 0;
}

static long garble_journal(struct worker *w, unsigned byte)
{
    (void)w;
    if (seen.journal)
        memset(seen.journal, (int)byte, seen.journal_bytes);
    return 0;
}

static uint8_t *at(struct worker *w, uint64_t address, size_t len)
{
    struct gslice slice;

    if (seen.rings.size == 0 || gmem_slice(&w->mem, GPA(address), len, &slice) != 0)
        return NULL;
    return gslice_iovec(slice).iov_base;
}

/* Used entries: le16 flags, le16 idx, then { le32 id, le32 len } (virtio 1.2, section 2.7.8). */
static long lie_used(struct worker *w, unsigned how)
{
    uint8_t *used = at(w, seen.rings.used, 4 + 8ull * seen.rings.size);
    uint16_t idx;
    uint32_t entry[2] = { 0, 0 };

    if (!used)
        return 0;
    memcpy(&idx, used + 2, sizeof idx);
    if (how == 0) { /* an id that is no descriptor's */
        entry[0] = 0xfffffff0;
    } else if (how == 1) { /* a length beyond all buffers */
        entry[1] = 0xffffffff;
    }
    memcpy(used + 4 + 8ull * (idx % seen.rings.size), entry, sizeof entry);
    idx = (uint16_t)(idx + (how == 2 ? 0x7fff : 1)); /* 2: more than there are */
    __atomic_store_n((uint16_t *)(void *)(used + 2), idx, __ATOMIC_RELEASE);
    fd_event_signal(w->queues[0].call_fd);
    return 0;
}

static long silent(struct worker *w, unsigned spin)
{
    uint64_t end = now_ns() + SILENT_MS * 1000000ull;
    char byte;

    (void)w;
    while (now_ns() < end)
        if (!spin && read(FD_STDIN, &byte, 1) < 0)
            break;
    return 0;
}

static long leave(struct worker *w, unsigned status)
{
    (void)w;
    _exit((int)status);
}

static long crash(struct worker *w, unsigned unused)
{
    (void)w;
    (void)unused;
    __builtin_trap();
}

static long close_control(struct worker *w, unsigned unused)
{
    (void)unused;
    close(FD_CONTROL);
    return hostile_await_end(w);
}

static long close_all(struct worker *w, unsigned unused)
{
    (void)unused;
    for (unsigned i = 0; i < w->n_keep; i++)
        close(w->keep[i]);
    return 0;
}

static long say_failed(struct worker *w, unsigned unused)
{
    static char why[60000];
    static uint8_t packed[61000];
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    ENVELOPE(e, FAILED, failed, &failed);

    (void)unused;
    memset(why, '\n', sizeof why - 1);
    failed.error = -1;
    failed.bad_input = true;
    failed.what = why;
    if (hostile_send_raw(packed, bulkhead__envelope__pack(&e, packed), 0) < 0)
        return -EPIPE;
    return hostile_await_end(w); /* stays all the same */
}

#define RUN(what, function, value)                                                                 \
    {                                                                                              \
        .name = what, .kind = HOSTILE_NUISANCE, .run = function, .arg = value                      \
    }

static const struct hostile_action actions[] = {
    RUN("flood-log", flood_log, 0),
    RUN("stats-of-ones", garble_stats, 0xff),
    RUN("stats-of-zeroes", garble_stats, 0),
    RUN("silent", silent, 1),
    RUN("leave-with-0", leave, 0),
    RUN("leave-with-1", leave, 1),
    RUN("crash", crash, 0),
    RUN("close-control", close_control, 0),
    RUN("close-all", close_all, 0),
    RUN("failed-but-stays", say_failed, 0),
    RUN("kick-storm", storm, 1),
    RUN("interrupt-storm", storm, 0),
    RUN("full-counters", full_counters, 0),
    RUN("journal-of-ones", garble_journal, 0xff),
    RUN("journal-of-noise", garble_journal, 0x5a),
    RUN("journal-of-zeroes", garble_journal, 0),
    RUN("used-length-lies", lie_used, 1),
    RUN("used-id-lies", lie_used, 0),
    RUN("used-index-jumps", lie_used, 2),
};
HOSTILE_TABLE(hostile_nuisances, actions);
