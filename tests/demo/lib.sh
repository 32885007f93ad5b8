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
