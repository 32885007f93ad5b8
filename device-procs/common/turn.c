/* SPDX-License-Identifier: Apache-2.0 */
/* turn.c - see turn.h. */
#include "turn.h"

#include "base/loop.h"

void turn_begin(struct turn *turn)
{
    *turn = (struct turn){ 0 };
}

static void start_clock(struct turn *turn, uint64_t now)
{
    if (turn->end_ns == 0)
        turn->end_ns = now + TURN_NS;
}

void turn_spend(struct turn *turn, uint64_t bytes)
{
    if (turn->end_ns == 0)
        start_clock(turn, now_ns());
    turn->bytes += bytes;
    turn->over = turn->over || turn->bytes >= TURN_BYTES;
}

bool turn_over(struct turn *turn)
{
    uint64_t now;

    if (turn->over)
        return true;
    now = now_ns();
    start_clock(turn, now);
    turn->over = now >= turn->end_ns;
    return turn->over;
}

bool turn_is_spent(const struct turn *turn)
{
    return turn->over;
}
