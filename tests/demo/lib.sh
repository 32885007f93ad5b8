# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - what both halves of the demo share: where things are, and how it speaks. Sourced.
# shellcheck disable=SC2034 # used by who sources it
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=${here%/tests/demo}
bin=${BULKHEAD_BIN:-$root/build/release/bin}
guest=${BULKHEAD_GUEST:-$root/build/guest}
seconds=${BULKHEAD_DEMO_SECONDS:-40}

bold='' dim='' plain=''
if [[ -t 1 || -n ${BULKHEAD_DEMO_COLOR:-} ]]; then
    bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'
fi

heading() { printf '\n%s== %s ==%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
quote() { tr -d '\r' | sed "s/^/    $dim|$plain /"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# pid_of VM NAME: of that process of the VM, as the broker knows it; 0: none, or no broker.
pid_of() { "$bin/bulkhead" ps "$1" 2>/dev/null | awk -v name="$2" '$2 == name { pid = $3 } END { print pid + 0 }'; }

# another VM NAME OLD: in $new, the process that is there in its place.
another()
{
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        new=$(pid_of "$1" "$2")
        [[ $new -gt 0 && $new != "$3" ]] && return
        sleep 0.2
    done
    fail "no other process took the place of $2 of $1"
}
