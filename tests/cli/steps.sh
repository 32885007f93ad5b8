# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# steps.sh - the page that a test and the brokers of a VM share, in $BULKHEAD_BROKER_STEPS (broker/run/steps.c): left,
# begun, passed, deaths, then from and last. For tests/cli/broker-steps and tests/fault. After tests/cli/lib.sh.

# arm N [FROM]: the broker dies at its Nth step from now on, or after that one.
arm()
{
    head -c 4096 /dev/zero | dd of="$BULKHEAD_BROKER_STEPS" conv=notrunc status=none
    [ -z "${2:-}" ] || poke_text "$BULKHEAD_BROKER_STEPS" 16 "$2"
    poke "$BULKHEAD_BROKER_STEPS" 0 "$1" 4
}
disarm() { poke "$BULKHEAD_BROKER_STEPS" 0 0 4; }
number_at() { od -A n -t u4 -j "$1" -N 4 "$BULKHEAD_BROKER_STEPS" | tr -d ' '; }
# something_at OFFSET: whether a number there is not 0. Asked in loops: without a program, from what stands between zeroes.
something_at()
{
    local LC_ALL=C at=0 text texts
    mapfile -t -d '' -n $(($1 + 5)) texts <"$BULKHEAD_BROKER_STEPS"
    for text in "${texts[@]}"; do
        [ -z "$text" ] || ((at + ${#text} <= $1)) || return 0
        at=$((at + ${#text} + 1))
        ((at < $1 + 4)) || return 1
    done
    return 1
}
is_armed() { something_at 0; }
has_died() { something_at 12; }
last_step() { tail -c +81 "$BULKHEAD_BROKER_STEPS" | head -c 64 | tr -d '\0'; }
