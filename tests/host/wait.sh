# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# wait.sh - waiting without starting programs. Where the processor is emulated a program takes some 40 ms to start:
# a loop of grep and sleep takes a third of that processor from what it waits for. Sourced.

# A pipe that nobody writes to.
exec {nap_fd}<> <(:)

# sleep SECONDS: in this shell.
sleep() { read -rt "$1" -u "$nap_fd" || :; }

# How long a loop that asks a program waits before it asks again.
POLL=0.05
[ -z "${BULKHEAD_IN_HOST:-}" ] || POLL=0.3

# until_true COMMAND...: asked again and again, for $PATIENCE_S seconds at most; status 1 if it never was.
PATIENCE_S=60
until_true()
{
    local end=$((SECONDS + PATIENCE_S))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep "$POLL"
    done
}

# await_lines FILE REGEX N SECONDS [PID]: until N lines of the file, which need not be there yet, match; status 1 if
# they don't when the time is over or the process has ended.
await_lines()
{
    local file=$1 regex=$2 want=$3 end=$((SECONDS + $4)) pid=${5:-} ended='' got
    while :; do
        # In turns, because grep keeps a line without an end to itself.
        got=$(grep -acE -m "$want" -- "$regex" "$file" 2>/dev/null)
        ((${got:-0} < want)) || return 0
        [ -z "$ended" ] && ((SECONDS < end)) || return 1
        got=$(timeout 5 tail -n +1 -s 0.2 ${pid:+"--pid=$pid"} -F -- "$file" 2>/dev/null | grep -acE -m "$want" -- "$regex")
        ((${got:-0} < want)) || return 0
        [ -z "$pid" ] || kill -0 "$pid" 2>/dev/null || ended=1
    done
}
