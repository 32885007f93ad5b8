# shellcheck shell=bash
# A worker's death at each step of a request, and what was under way when it died.

# Six disks under verified I/O; the worker of each dies again and again at a step of its own, by a
# failpoint: after it fetched a request, after it submitted, after a completion, before and after
# the used index, before the interrupt. Broker and disk worker are those of the failpoints build.
case_every_step_may_be_the_last()
{
    local steps=(after_fetch after_submit after_completion before_used after_used before_interrupt)
    local build=${BULKHEAD_FAILPOINTS_BIN:-$ROOT/build/failpoints/bin} cmd spec='' disks=() i
    [ -x "$build/bulkhead-dev-blk" ] || { echo "no $build: cmake --preset failpoints and build it" >&2; return 77; }
    mkdir "$T/bin"
    cp "$BIN"/bulkhead* "$T/bin/"
    cp "$build"/bulkhead-broker "$build"/bulkhead-dev-blk "$T/bin/"
    for i in "${!steps[@]}"; do
        truncate -s 8M "$T/disk$i"
        disks+=("path=$T/disk$i")
        spec+="disk$i=${steps[i]}:$((${STEP_COUNT:-60} + 17 * i)) "
    done
    truncate -s 4k "$T/flag"
    cmd=$(base64 -w0 <<GUEST
for d in a b c d e f; do /tests/iostress /dev/vd\$d 600 2 /dev/vdg & done
wait
dmesg | grep -E 'I/O error|needs reset|timed out' | sed 's/^/KERNEL /'
GUEST
    )
    export BULKHEAD_FAILPOINTS=$spec
    BIN=$T/bin NAME=vm GUEST_TIMEOUT=600 guest_start "$T/log" "bh.cmd=$cmd" --cpus boot=1 --memory size=256M \
        --disk "${disks[@]}" "path=$T/flag,readonly=on" --crash-limit 1000 --crash-window 5 --json
    for i in "${!steps[@]}"; do
        await_count "$T/log.out" "\"died\".*\"disk$i\"" 3 300
    done
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    [ "$(grep -c 'IOSTRESS verify_errors=0 io_errors=0' "$T/log")" = 6 ] || { SHOW=40 show "$T/log"; die "not six clean disks"; }
    expect_not "$T/log" '^KERNEL|I/O error|needs reset|timed out'
    for i in "${!steps[@]}"; do
        note "${steps[i]}: $(grep -c "\"died\".*\"disk$i\"" "$T/log.out") deaths"
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

# with_slow_disk MS: $slow_disk, whose writes take that long, until end_slow_disk.
with_slow_disk()
{
    # shellcheck disable=SC2016 # that shell's
    BULKHEAD_SLOW_MS=$1 TMPDIR=$T "$ROOT/tests/worker/slow-disk" \
        sh -c 'echo "$BULKHEAD_SLOW_DISK" >"$0"; while [ -e "$0" ]; do sleep 0.2; done' "$T/where" &
    slow_pid=$!
    await "$T/where" '^/dev/' 10
    slow_disk=$(cat "$T/where")
}

end_slow_disk()
{
    rm "$T/where"
    wait "$slow_pid"
}

# The replacement is killed as soon as it is there, with writes of the first one still on their way or
# just arrived, until three of them were waited for. A kernel that keeps a dying process until its
# ring's writes are done, or a host slower than the disk, leaves nothing to wait for: then once more.
case_two_deaths_in_a_row_on_a_slow_disk()
{
    local slow_disk slow_pid i j drains
    local -A pid
    with_slow_disk 4000
    truncate -s 4k "$T/flag"
    NAME=vm GUEST_TIMEOUT=400 guest_start "$T/log" bh.test=iostress,/dev/vda,400,4,/dev/vdb --memory size=256M --crash-limit 64 --crash-window 5 --json \
        --disk "path=$slow_disk,direct=on" "path=$T/flag,readonly=on"
    await "$T/log" 'IOSTRESS t=2'
    pid[disk0]=$(pid_of vm disk0)
    for ((i = 1, drains = 0; drains < 3 && i <= 12; i++)); do
        kill_worker disk0
        kill_worker disk0
        for ((j = 0; j < 60; j++)); do
            sleep "$POLL"
            [ "$(grep -c "dead worker's ring is drained" "$T/log.err")" = "$drains" ] || break
        done
        drains=$(grep -c "dead worker's ring is drained" "$T/log.err")
    done
    note "$drains drains in $((i - 1)) times two deaths"
    [ "$drains" -ge 3 ] || { show "$T/log.err"; die "only $drains drains"; }
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    end_slow_disk
    expect "$T/log" 'IOSTRESS verify_errors=0 io_errors=0'
    expect_not "$T/log" 'I/O error|needs reset|timed out'
}

# A worker that the kernel keeps waiting for a slow disk is told of, not killed: that would help nobody.
case_slow_disk_is_no_hang()
{
    local slow_disk slow_pid cmd
    with_slow_disk 3000
    cmd=$(echo 'dd if=/dev/zero of=/dev/vda bs=4k count=2 oflag=direct && echo WRITTEN' | base64 -w0)
    NAME=vm guest "$T/log" "bh.cmd=$cmd" --memory size=256M \
        --disk "path=$slow_disk,direct=on,disable_io_uring=on" --json
    expect_status 0 $? "$T/log"
    end_slow_disk
    expect "$T/log" '^WRITTEN'
    expect "$T/log.out" '"stalled","properties":{"id":"disk0"'
    expect "$T/log.out" '"answers","properties":{"id":"disk0"'
    expect_not "$T/log.out" '"died"'
}

# A disk of 1 GiB that takes so many megabytes a second, and forgets them; its pages are the page cache's.
make_null_disk() # MBPS
{
    local dir=/sys/kernel/config/nullb/bhslow
    modprobe null_blk nr_devices=0 || skip "no null_blk here"
    mountpoint -q /sys/kernel/config || { mount -t configfs configfs /sys/kernel/config && own_configfs=1; }
    mkdir "$dir"
    echo 1024 >"$dir/size"
    echo "$1" >"$dir/mbps"
    echo 1 >"$dir/power"
    null_disk=/dev/nullb$(cat "$dir/index") # kernels differ in how they call it
    [ -e "/sys/block/${null_disk##*/}" ] || null_disk=/dev/bhslow
    # No udev here.
    [ -b "$null_disk" ] || mknod "$null_disk" b "$(cut -d: -f1 "/sys/block/${null_disk##*/}/dev")" "$(cut -d: -f2 "/sys/block/${null_disk##*/}/dev")"
}
end_null_disk()
{
    rmdir /sys/kernel/config/nullb/bhslow
    rmmod null_blk
    rm -f "$null_disk"
    [ -z "$own_configfs" ] || umount /sys/kernel/config
}

# An honest worker that writes through the page cache, faster than the disk, and again and again fills what its
# control group may have of that, is made to wait and not taken for hung, nor for one that takes memory without end.
case_page_cache_is_no_hang()
{
    null_disk='' own_configfs='' # for the trap
    local group high=0 most=0 now limit=$((48 << 20)) cmd
    [ -e /sys/fs/cgroup/cgroup.subtree_control ] || skip "no cgroup v2 at /sys/fs/cgroup"
    make_null_disk 30
    trap end_null_disk EXIT
    cmd=$(echo 'echo BEGUN; dd if=/dev/zero of=/dev/vda bs=1M count=400 oflag=direct || exit; echo WRITTEN' | base64 -w0)
    NAME=vm GUEST_TIMEOUT=900 guest_start "$T/log" "bh.cmd=$cmd" --memory size=128M --disk "path=$null_disk" --json
    await "$T/log" '^BEGUN' 120
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(pid_of vm disk0)/cgroup")
    [ -w "$group/memory.high" ] || die "no limit of memory in $group"
    echo $limit >"$group/memory.high"
    while kill -0 "$GUEST_PID" 2>/dev/null; do
        now=$(cat "$group/memory.current" 2>/dev/null)
        [ "${now:-0}" -le $most ] || most=$now
        now=$(sed -n 's/^high //p' "$group/memory.events" 2>/dev/null)
        high=${now:-$high}
        sleep 0.5
    done
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^WRITTEN'
    echo "limit of $((limit >> 20)) MiB met $high times, at most $((most >> 20)) MiB; $(grep -c '"stalled"' "$T/log.out") times longer than 0.9 s"
    [ "$high" -gt 0 ] || die "the limit was never met"
    expect_not "$T/log.out" '"died"'
    expect_not "$T/log.out" '"hung"'
}
