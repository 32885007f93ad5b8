# shellcheck shell=bash
# The broker dies under a running guest, and another takes over: nothing is lost, and all of it works again.

# kill_broker: returns when another one answers; BROKER is its pid.
kill_broker()
{
    local pid i
    pid=$(pid_of vm broker)
    [ -n "$pid" ] || die "no broker to kill"
    kill -KILL "$pid" || die "no broker $pid"
    for ((i = 0; i < 300; i++)); do
        BROKER=$(pid_of vm broker 2>/dev/null)
        [ -z "$BROKER" ] || [ "$BROKER" = "$pid" ] || return 0
        sleep "$POLL"
    done
    show "$T/log.err"
    die "no broker took over"
}

# kill_broker_only: while the spawner stands still nobody takes over; broker_back lets it go on.
kill_broker_only()
{
    SPAWNER=$(pid_of vm spawner) BROKER=$(pid_of vm broker)
    kill -STOP "$SPAWNER" && kill -KILL "$BROKER" || die "no broker to kill"
}
broker_back() { kill -CONT "$SPAWNER"; }

# A broker of a second life repairs, answers, audits itself, and ends the VM.
case_broker_killed_then_a_worker()
{
    local -A pid
    stress_guest --json
    kill_broker
    expect "$T/log.out" '"event":"adopted"'
    pid[disk0]=$(pid_of vm disk0)
    kill_worker disk0
    no_drift vm
    kill_broker
    kill_worker disk0
    "$BIN/bulkhead" upgrade vm disk0 || die "upgrade failed"
    kill_broker
    no_harm_done
}

# A worker that dies while nobody is there is replaced when somebody is.
case_worker_dies_while_the_broker_is_away()
{
    local pid n
    stress_guest --json
    pid=$(pid_of vm disk0)
    kill_broker_only
    kill -KILL "$pid"
    sleep 1
    n=$(grep -c '"event":"restarted"' "$T/log.out")
    broker_back
    await_count "$T/log.out" '"event":"restarted"' $((n + 1))
    [ "$(pid_of vm disk0)" != "$pid" ] || die "disk0 is the one that was killed"
    no_harm_done
}

case_paused_vm_outlives_its_broker()
{
    local before
    stress_guest --json
    "$BIN/bulkhead" pause vm || die "pause failed"
    kill_broker
    "$BIN/bulkhead" ps vm | grep paused >/dev/null || die "the VM is not paused any more"
    before=$(wc -c <"$T/log")
    sleep 3
    [ "$before" = "$(wc -c <"$T/log")" ] || die "a paused guest printed"
    "$BIN/bulkhead" resume vm || die "resume failed"
    "$BIN/bulkhead" pause vm || die "second pause failed"
    "$BIN/bulkhead" resume vm || die "second resume failed"
    no_harm_done
}

# The guest takes its devices' drivers away and brings them back: resets and activations cross the deaths.
case_resets_while_the_broker_dies()
{
    local cmd i
    cmd=$(base64 -w0 <<'GUEST'
cd /sys/bus/virtio/drivers/virtio_rng && device=$(ls -d virtio* | sed -n 1p)
i=0
until said go /dev/vda; do
    echo $device >unbind; echo $device >bind
    head -c 64 /dev/hwrng >/dev/null || echo NO-ENTROPY
    echo round $((i += 1))
done
dmesg | grep -E 'needs reset|timed out|failed' | grep virtio | sed 's/^/KERNEL /'
echo DONE
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on" --crash-limit 64 --json
    await "$T/log" '^round 3'
    for ((i = 0; i < 6; i++)); do
        kill_broker_only
        sleep "0.$((RANDOM % 10))"
        broker_back
        await_count "$T/log" '^round' $(($(grep -c '^round' "$T/log") + 3))
    done
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^DONE'
    expect_not "$T/log" 'NO-ENTROPY|KERNEL'
}

case_broker_and_workers_killed_at_random()
{
    local kills=${KILLS:-50} i pid adopted spawner files
    [ -z "${BULKHEAD_LONG:-}" ] || kills=${KILLS:-1000}
    STRESS_S=$((300 + kills * 3)) stress_guest --json --crash-limit 1024 --crash-window 1
    spawner=$(pid_of vm spawner)
    files=$(find "/proc/$spawner/fd" -mindepth 1 | wc -l)
    for ((i = 0; i < kills; i++)); do
        pid=$(pid_of vm "$([ $((RANDOM % 3)) = 0 ] && echo disk0 || echo broker)" 2>/dev/null)
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
        sleep "0.$((RANDOM % 4))"
    done
    kill_broker
    adopted=$(grep -c '"event":"adopted"' "$T/log.out")
    note "$kills kills, $adopted brokers took over"
    [ "$adopted" -gt $((kills / 4)) ] || die "few brokers were killed"
    for ((i = 0; i < 50; i++)); do # the last replacement is there
        [ "$(find "/proc/$spawner/fd" -mindepth 1 | wc -l)" -gt $((files + 2)) ] || break
        sleep "$POLL"
    done
    [ "$i" -lt 50 ] || die "the spawner had $files files open, and has $(find "/proc/$spawner/fd" -mindepth 1 | wc -l)"
    no_harm_done
    settled || die "orphans"
}

# The limit is the devices' own. Then the VM goes on as it is, and ends with its core.
case_broker_that_dies_too_often()
{
    local core
    stress_guest --json --crash-limit 3 --crash-window 3600
    core=$(pid_of vm core)
    kill_broker
    kill_broker
    kill -KILL "$BROKER"
    wait "$GUEST_PID" && die "run has not noticed"
    GUEST_PID=''
    expect "$T/log.err" 'the broker died 3 times within 3600 s'
    await_count "$T/log" '^IOSTRESS t=' $(($(grep -c '^IOSTRESS t=' "$T/log") + 2))
    kill -KILL "$core"
    settled || die "orphans"
}
