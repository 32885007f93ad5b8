/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - see model.h. */
#include "model.h"

#include <stddef.h>

enum reg {
    R_DFS,
    R_DF,
    R_GFS,
    R_GF,
    R_MSIX,
    R_NQ,
    R_STATUS,
    R_GEN,
    R_QSEL,
    R_QSIZE,
    R_QVEC,
    R_QEN,
    R_QNOFF,
    R_DESC,
    R_DRV,
    R_DEV,
    R_QND,
    R_QRST,
    R__N
};

static const struct {
    uint8_t off, width;
    bool frozen_by_enable; /* by queue_enable = 1 and by DRIVER_OK */
} regs[R__N] = {
    [R_DFS] = { 0, 4, false },     [R_DF] = { 4, 4, false },    [R_GFS] = { 8, 4, false },
    [R_GF] = { 12, 4, false },     [R_MSIX] = { 16, 2, false }, [R_NQ] = { 18, 2, false },
    [R_STATUS] = { 20, 1, false }, [R_GEN] = { 21, 1, false },  [R_QSEL] = { 22, 2, false },
    [R_QSIZE] = { 24, 2, true },   [R_QVEC] = { 26, 2, false }, [R_QEN] = { 28, 2, true },
    [R_QNOFF] = { 30, 2, false },  [R_DESC] = { 32, 8, true },  [R_DRV] = { 40, 8, true },
    [R_DEV] = { 48, 8, true },     [R_QND] = { 56, 2, false },  [R_QRST] = { 58, 2, false },
};

void model_reset(struct model *m)
{
    m->driver_features = 0;
    m->dfs = m->gfs = 0;
    m->msix_config = 0xffff;
    m->queue_select = 0;
    m->status = 0;
    m->live = m->told = m->resetting = false;
    for (int i = 0; i < MODEL_QUEUES; i++)
        m->q[i] = (struct model_queue){ .size = m->queue_max, .vector = 0xffff };
}

static uint64_t value_of(const struct model *m, enum reg r)
{
    static const struct model_queue none;
    const struct model_queue *q = m->queue_select < MODEL_QUEUES ? &m->q[m->queue_select] : &none;

    switch (r) {
    case R_DFS:
        return m->dfs;
    case R_DF:
        return m->dfs == 0 ? m->offered & 0xffffffff : m->dfs == 1 ? m->offered >> 32 : 0;
    case R_GFS:
        return m->gfs;
    case R_GF:
        return m->gfs == 0   ? m->driver_features & 0xffffffff
               : m->gfs == 1 ? m->driver_features >> 32
                             : 0;
    case R_MSIX:
        return m->msix_config;
    case R_NQ:
        return MODEL_QUEUES;
    case R_STATUS:
        return m->status;
    case R_GEN:
        return m->generation;
    case R_QSEL:
        return m->queue_select;
    case R_QSIZE:
        return q->size;
    case R_QVEC:
        return q->vector;
    case R_QEN:
        return q->enable;
    case R_QNOFF:
        return m->queue_select < MODEL_QUEUES ? m->queue_select : 0;
    case R_DESC:
        return q->desc;
    case R_DRV:
        return q->driver;
    case R_DEV:
        return q->device;
    case R_QND:
    case R_QRST:
    case R__N:
        return 0;
    }
    return 0;
}

uint8_t model_byte(const struct model *m, unsigned off)
{
    for (int r = 0; r < R__N; r++)
        if (off >= regs[r].off && off < regs[r].off + regs[r].width)
            return (uint8_t)(value_of(m, (enum reg)r) >> (8 * (off - regs[r].off)));
    return 0;
}

static void set_status(struct model *m, uint8_t v)
{
    const uint8_t ack = 1, driver = 2, ok = 4, features_ok = 8, failed = 128;

    if (v == 0) {
        if (m->told)
            m->resetting = true; /* old status stays visible */
        else
            model_reset(m);
        return;
    }
    m->status |= v & (ack | driver | failed);
    if ((v & features_ok) && (m->driver_features & ~m->offered) == 0 &&
        (m->driver_features >> 32 & 1))
        m->status |= features_ok;
    if ((v & ok) && (m->status & features_ok)) {
        m->status |= ok;
        m->live = true;
    }
}

static void set_half(uint64_t *cell, bool high, uint64_t v)
{
    *cell = high ? (*cell & 0xffffffff) | v << 32 : (*cell >> 32) << 32 | v;
}

static uint64_t *wide(struct model_queue *q, enum reg r)
{
    return r == R_DESC ? &q->desc : r == R_DRV ? &q->driver : r == R_DEV ? &q->device : NULL;
}

static void set_queue(struct model *m, enum reg r, unsigned at, unsigned size, uint64_t v)
{
    struct model_queue *q;

    if (m->queue_select >= MODEL_QUEUES)
        return;
    q = &m->q[m->queue_select];
    if (r == R_QVEC) {
        q->vector = v < m->vectors ? (uint16_t)v : 0xffff;
        return;
    }
    if (regs[r].frozen_by_enable && (q->enable || (m->status & 4)))
        return;
    if (wide(q, r)) {
        if (size == 8)
            *wide(q, r) = v;
        else
            set_half(wide(q, r), at == 4, v);
    } else if (r == R_QSIZE) {
        for (uint32_t p = 1; p <= m->queue_max; p *= 2)
            if (p == v)
                q->size = (uint16_t)v;
    } else if (r == R_QEN && v == 1) {
        q->enable = !(q->desc & 15) && !(q->driver & 1) && !(q->device & 3);
    }
}

void model_write(struct model *m, unsigned off, unsigned size, uint64_t v)
{
    if (m->resetting)
        return;
    for (int i = 0; i < R__N; i++) {
        enum reg r = (enum reg)i;
        bool exact = off == regs[r].off && size == regs[r].width;
        bool half =
            regs[r].width == 8 && size == 4 && (off == regs[r].off || off == regs[r].off + 4u);

        if (!exact && !half)
            continue;
        if (r == R_DFS)
            m->dfs = (uint32_t)v;
        else if (r == R_GFS)
            m->gfs = (uint32_t)v;
        else if (r == R_GF && m->gfs < 2 && !(m->status & 8))
            set_half(&m->driver_features, m->gfs == 1, v);
        else if (r == R_MSIX)
            m->msix_config = v < m->vectors ? (uint16_t)v : 0xffff;
        else if (r == R_STATUS)
            set_status(m, (uint8_t)v);
        else if (r == R_QSEL)
            m->queue_select = (uint16_t)v;
        else if (r >= R_QSIZE && r <= R_DEV && r != R_QNOFF)
            set_queue(m, r, off - regs[r].off, size, v);
    }
}
