# shellcheck shell=bash
# A worker dies, hangs or is replaced under verified I/O; the guest must not notice.

# stress_guest [FLAG]...: a guest that does verified I/O on /dev/vda until no_harm_done; $STRESS_ARGS for its init.
stress_guest()
{
    truncate -s 64M "$T/disk"
    truncate -s 4k "$T/flag"
    NAME=vm GUEST_TIMEOUT=${STRESS_S:-600} guest_start "$T/log" "bh.test=iostress,/dev/vda,${STRESS_S:-600},4,/dev/vdb ${STRESS_ARGS:-}" --cpus boot=1 --memory size=256M \
        --disk "path=$T/disk" "path=$T/flag,readonly=on" --crash-limit 64 --crash-window 5 "$@"
    await "$T/log" 'IOSTRESS'
}

# The guest's verdict on its own I/O, and its kernel's.
no_harm_done()
{
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" 'IOSTRESS verify_errors=0 io_errors=0'
    expect_not "$T/log" 'I/O error|blk_update_request|critical|needs reset|timed out'
}

# signal_worker SIGNAL DEVICE: returns when the broker shows another pid.
signal_worker()
{
    local pid new i
    for ((i = 0; i < 150; i++)); do
        pid=$(pid_of vm "$2")
        [ -z "$pid" ] || break
        sleep 0.3
    done
    [ -n "$pid" ] || die "no $2 to signal"
    kill "-$1" "$pid"
    for ((i = 0; i < 150; i++)); do
        new=$(pid_of vm "$2")
        [ -n "$new" ] && [ "$new" != "$pid" ] && return 0
        sleep 0.3
    done
    show "$T/log.err"
    die "$2 was not replaced after $1"
}

# kill_worker DEVICE [SIGNAL]: ${pid[DEVICE]}, and waits for the event that says who is there in its place. For a
# guest started with --json; much quicker than to ask.
kill_worker()
{
    local event="\"event\":\"restarted\",\"properties\":\\{\"id\":\"$1\"" n
    n=$(grep -cE "$event" "$T/log.out")
    kill "-${2:-KILL}" "${pid[$1]}" || die "no $1 to kill"
    await_lines "$T/log.out" "$event" $((n + 1)) 120 || { show "$T/log.err"; die "$1 was not replaced"; }
    pid[$1]=$(grep -E "$event" "$T/log.out" | tail -n 1 | sed 's/.*"pid":"\([0-9]*\)".*/\1/')
}

case_disk_worker_killed_under_load()
{
    local kills=${KILLS:-20} i
    local -A pid
    stress_guest --json
    pid[disk0]=$(pid_of vm disk0)
    for ((i = 0; i < kills; i++)); do
        kill_worker disk0
        sleep "0.$((RANDOM % 5))"
    done
    no_harm_done
}

case_disk_worker_hangs()
{
    stress_guest
    signal_worker STOP disk0
    signal_worker STOP disk0
    no_harm_done
}

case_disk_worker_upgraded()
{
    local i
    stress_guest
    for ((i = 0; i < 5; i++)); do
        "$BIN/bulkhead" upgrade vm disk0 || die "upgrade failed"
    done
    "$BIN/bulkhead" upgrade vm || die "upgrade of all devices failed"
    no_harm_done
}

case_bad_upgrade_rolls_back()
{
    stress_guest
    for bad in /nonexistent /bin/true /bin/sh "$BIN/bulkhead-dev-rng" "$T/log"; do
        if "$BIN/bulkhead" upgrade vm disk0 --binary "$bad" 2>"$T/why"; then
            die "an upgrade to $bad was taken"
        fi
        [ "$(wc -l <"$T/why")" = 1 ] || { show "$T/why"; die "not one line about $bad"; }
    done
    no_harm_done
}

case_rng_and_serial_workers_killed()
{
    local cmd
    cmd=$(echo 'for i in $(seq 1 12); do head -c 4096 /dev/hwrng | md5sum; sleep 1; done; echo BULKHEAD-CONSOLE begin; seq 1 2000; echo BULKHEAD-CONSOLE end' | base64 -w0)
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M
    await "$T/log" '^[0-9a-f]{32}'
    signal_worker KILL rng
    signal_worker KILL serial
    signal_worker KILL rng
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    [ "$(grep -cE '^[0-9a-f]{32}' "$T/log")" = 12 ] || { show "$T/log"; die "reads of /dev/hwrng were lost"; }
}

# A worker that dies at once each time: the device fails, the VM lives, repair brings it back.
case_crash_loop_fails_the_device_alone()
{
    local cmd i
    cmd=$(echo 'echo up; while :; do dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null && echo good || echo bad; sleep 0.5; done' | base64 -w0)
    truncate -s 16M "$T/disk"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/disk" --crash-limit 3 --crash-window 60
    await "$T/log" '^good'
    for i in 1 2; do signal_worker KILL disk0; done
    kill -KILL "$(pid_of vm disk0)"
    await "$T/log" '^bad' 60
    "$BIN/bulkhead" repair vm disk0 || die "repair failed"
    await_count "$T/log" '^good' $(($(grep -c '^good' "$T/log") + 1))
    "$BIN/bulkhead" repair vm disk0 2>"$T/why" && die "repair of a healthy device was taken"
    "$BIN/bulkhead" stop vm
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}
