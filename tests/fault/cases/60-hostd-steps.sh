# shellcheck shell=bash
# The host's service dies at each of its steps (tests/cli/hostd): the VM lives on, and what was asked for is done, or can be.

# Where a processor is emulated each death takes seconds: there one in EVERY steps is taken, another one each time.
case_hostd_dies_at_each_step()
{
    local every=${EVERY:-6} failpoints=${BULKHEAD_FAILPOINTS_BIN:-$ROOT/build/failpoints/bin} status
    [ -z "${BULKHEAD_LONG:-}" ] || every=1
    [ -x "$failpoints/bulkhead-hostd" ] || { echo "no $failpoints: cmake --preset failpoints and build it" >&2; return 77; }
    TMPDIR=$T BULKHEAD_FAILPOINTS_BIN=$failpoints BULKHEAD_BIN=$BIN timeout 3000 "$ROOT/tests/cli/hostd" -e "$every" >"$T/log" 2>&1
    status=$?
    expect_status 0 $status "$T/log"
    note "$(grep -E '^ok|deaths' "$T/log" | tr '\n' ' ')"
}
