# shellcheck shell=bash
# A worker's death at each step of a request, and what was under way when it died.

# Six disks under verified I/O; the worker of each dies again and again at a step of its own, by a
# failpoint: after it fetched a request, after it submitted, after a completion, before and after
# the used index, before the interrupt. Broker and disk worker are those of the failpoints build.
case_every_step_may_be_the_last()
{
    local steps=(after_fetch after_submit after_completion before_used after_used before_interrupt)
    local build=${BULKHEAD_FAILPOINTS_BIN:-$ROOT/build/failpoints/bin} cmd spec='' disks=() i deaths
    [ -x "$build/bulkhead-dev-blk" ] || { echo "no $build: cmake --preset failpoints and build it" >&2; return 77; }
    mkdir "$T/bin"
    cp "$BIN"/bulkhead* "$T/bin/"
    cp "$build"/bulkhead-broker "$build"/bulkhead-dev-blk "$T/bin/"
    for i in "${!steps[@]}"; do
        truncate -s 8M "$T/disk$i"
        disks+=("path=$T/disk$i")
        spec+="disk$i=${steps[i]}:$((${STEP_COUNT:-60} + 17 * i)) "
    done
    cmd=$(base64 -w0 <<GUEST
for d in a b c d e f; do /tests/iostress /dev/vd\$d ${STEP_SECONDS:-15} 2 & done
wait
dmesg | grep -E 'I/O error|needs reset|timed out' | sed 's/^/KERNEL /'
GUEST
    )
    export BULKHEAD_FAILPOINTS=$spec
    BIN=$T/bin GUEST_TIMEOUT=600 guest "$T/log" "bh.cmd=$cmd" --cpus boot=1 --memory size=256M \
        --disk "${disks[@]}" --crash-limit 1000 --crash-window 5 --json
    expect_status 0 $? "$T/log"
    [ "$(grep -c 'IOSTRESS verify_errors=0 io_errors=0' "$T/log")" = 6 ] || { SHOW=40 show "$T/log"; die "not six clean disks"; }
    expect_not "$T/log" '^KERNEL|I/O error|needs reset|timed out'
    for i in "${!steps[@]}"; do
        deaths=$(grep -c "\"died\".*\"disk$i\"" "$T/log.out")
        note "${steps[i]}: $deaths deaths"
        [ "$deaths" -ge 3 ] || { show "$T/log.out"; die "too few deaths at ${steps[i]}"; }
    done
}

# The worker alone, on a real slow block device: what the dead one had submitted is on its way for
# a second. Natively the same test uses a slow disk of its own.
case_no_stale_write_on_a_slow_device()
{
    local test=$BIN/../tests/worker_blk_stale_test rounds=3 delay=700
    [ -x "$test" ] || { echo "no $test: it is not built" >&2; return 77; }
    [ -z "${BULKHEAD_LONG:-}" ] || rounds=500 delay=100
    TMPDIR=$T BULKHEAD_BIN=$BIN BULKHEAD_ROUNDS=$rounds BULKHEAD_SLOW_MS=$delay \
        timeout 1200 "$ROOT/tests/worker/slow-disk" "$test" >"$T/log" 2>&1
    expect_status 0 $? "$T/log"
    expect "$T/log" "^$rounds rounds, .* 0 stale blocks"
    note "$(grep rounds, "$T/log")"
}
