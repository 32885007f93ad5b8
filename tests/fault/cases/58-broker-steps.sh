# shellcheck shell=bash
# The broker dies at each of its steps: around a guest of a few instructions (tests/cli/broker-steps), and under one
# that does verified I/O, whose devices are in use. Both with the broker of the failpoints build.
# shellcheck source=tests/cli/lib.sh
. "$ROOT/tests/cli/lib.sh"
# shellcheck source=tests/cli/steps.sh
. "$ROOT/tests/cli/steps.sh"

FAILPOINTS=${BULKHEAD_FAILPOINTS_BIN:-$ROOT/build/failpoints/bin}

# Where a processor is emulated each death takes seconds: there one in EVERY steps is taken, another one each time.
case_broker_dies_at_each_step()
{
    local every=${EVERY:-30} status
    [ -z "${BULKHEAD_LONG:-}" ] || every=1
    TMPDIR=$T BULKHEAD_FAILPOINTS_BIN=$FAILPOINTS BULKHEAD_BIN=$BIN timeout 3000 "$ROOT/tests/cli/broker-steps" -e "$every" >"$T/log" 2>&1
    status=$?
    expect_status 0 $status "$T/log"
    expect "$T/log" '^[1-9][0-9]* brokers died'
    note "$(grep -E '^ok|died' "$T/log" | tr '\n' ' ')"
}

# await_broker: another one answers than $BROKER, and all that it lists have begun.
await_broker()
{
    local i
    for ((i = 0; i < 300; i++)); do
        "$BIN/bulkhead" ps vm >"$T/ps" 2>/dev/null && ! awk -v old="$BROKER" '$2 == "broker" && $3 == old || NR > 2 && $3 == 0 { bad = 1 } END { exit !bad }' "$T/ps" && return 0
        sleep "$POLL"
    done
    show "$T/log.err"
    die "no broker took over"
}

# do_X: once, and until it is done or the broker is dead. What it said about that is not looked at here.
wait_for_worker()
{
    local i
    for ((i = 0; i < 1500; i++)); do
        has_died && return 0
        [ "$(grep -c '"event":"restarted","properties":{"id":"disk0"' "$T/log.out")" = "$1" ] || return 0
        sleep "$POLL"
    done
    die "disk0 was not replaced"
}
do_repair()
{
    local n
    n=$(grep -c '"event":"restarted","properties":{"id":"disk0"' "$T/log.out")
    kill -KILL "$(pid_of vm disk0)"
    wait_for_worker "$n"
}
do_upgrade() { "$BIN/bulkhead" upgrade vm disk0 >"$T/said" 2>&1; }
do_pause() { "$BIN/bulkhead" pause vm >"$T/said" 2>&1; }
do_resume() { "$BIN/bulkhead" resume vm >"$T/said" 2>&1; }
do_takeover() { kill -KILL "$BROKER"; await_broker; }
# A disk that comes, and goes with the guest's consent: what was answered is so.
has_spare() { [ -n "$(pid_of vm spare)" ]; }
bring_spare() { "$BIN/bulkhead" add vm --disk "path=$T/spare,id=spare" >"$T/said" 2>&1; }
take_spare() { "$BIN/bulkhead" remove vm spare >"$T/said" 2>&1; }
spare_is() # here | gone: it is made so. A removal that a death has interrupted may still end.
{
    local i
    for ((i = 0; i < 300; i++)); do
        if has_spare; then
            [ "$1" != here ] || return 0
            take_spare
        else
            [ "$1" != gone ] || return 0
            bring_spare
        fi
        sleep "$POLL"
    done
    die "the spare disk is not $1: $(cat "$T/said")"
}
before_add() { spare_is gone; }
do_add() { bring_spare; status=$?; }
after_add() { [ $status != 0 ] || has_spare || die "it said that it was added"; }
before_remove() { spare_is here; }
do_remove()
{
    take_spare
    status=$?
    [ $status = 0 ] || has_died || { spare_is here; take_spare; status=$?; }
}
after_remove() { [ $status != 0 ] || ! has_spare || die "it said that it was removed"; }
do_reset() { local i; for ((i = 0; i < 1500; i++)); do is_armed || return 0; sleep "$POLL"; done; die "the guest resets nothing"; }

# A pause may still be on its way, and a broker that has just taken over may not yet be where it can begin one.
brought_to() # running | paused
{
    local i now verb=resume
    [ "$1" = running ] || verb=pause
    for ((i = 0; i < 300; i++)); do
        now=$("$BIN/bulkhead" ps vm 2>/dev/null | sed -n '1s/^vm: \([a-z]*\).*/\1/p')
        [ "$now" != "$1" ] || return 0
        [ "$now" != running ] && [ "$now" != paused ] || "$BIN/bulkhead" "$verb" vm >"$T/said" 2>&1
        sleep "$POLL"
    done
    die "the VM can't be brought to be $1: $(cat "$T/said")"
}

# walk_under_io OPERATION STATE [FROM]: again and again, each time the broker lives EVERY steps longer; from that state.
walk_under_io()
{
    local n died
    for ((n = 1 + RANDOM % every; ; n += every)); do
        brought_to "$2"
        ! declare -F "before_$1" >/dev/null || "before_$1"
        BROKER=$(pid_of vm broker)
        arm "$n" "${3:-}"
        "do_$1"
        "$BIN/bulkhead" ps vm >"$T/ps" 2>&1 # what follows an answer are steps too
        disarm
        died=$(last_step)
        [ -z "$died" ] || await_broker
        ! declare -F "after_$1" >/dev/null || "after_$1"
        [ -n "$died" ] || break
        deaths=$((deaths + 1))
    done
    [ "$status" = 0 ] || die "$1 fails though nobody dies: $(cat "$T/said")"
    steps+="$1 $n "
}

case_broker_dies_at_each_step_under_io()
{
    local every=${EVERY:-12} cmd deaths=0 steps='' status=0
    [ -z "${BULKHEAD_LONG:-}" ] || every=1
    [ -x "$FAILPOINTS/bulkhead-broker" ] || { echo "no $FAILPOINTS: cmake --preset failpoints and build it" >&2; return 77; }
    mkdir "$T/bin"
    cp "$BIN"/bulkhead* "$T/bin/"
    cp "$FAILPOINTS/bulkhead-broker" "$T/bin/"
    export BULKHEAD_BROKER_STEPS=$T/steps
    : >"$T/steps" && truncate -s 4096 "$T/steps"
    # The entropy device's driver comes and goes in the end, without a pause: its resets and activations.
    cmd=$(base64 -w0 <<'GUEST'
/tests/iostress /dev/vda 2400 4 /dev/vdb &
cd /sys/bus/virtio/drivers/virtio_rng && device=$(ls -d virtio* | sed -n 1p)
until said rng /dev/vdb || said go /dev/vdb; do sleep 0.5; done
until said go /dev/vdb; do
    echo $device >unbind; echo $device >bind
    head -c 64 /dev/hwrng >/dev/null || echo NO-ENTROPY
done
wait
dmesg | grep -E 'I/O error|needs reset|timed out|virtio.*failed' | sed 's/^/KERNEL /'
GUEST
    )
    truncate -s 64M "$T/disk"
    truncate -s 1M "$T/spare"
    truncate -s 4k "$T/flag"
    BIN=$T/bin
    NAME=vm GUEST_TIMEOUT=2400 guest_start "$T/log" "bh.cmd=$cmd" --cpus boot=1 --memory size=256M \
        --disk "path=$T/disk" "path=$T/flag,readonly=on" --crash-limit 1000 --crash-window 1 --json
    await "$T/log" 'IOSTRESS'
    for operation in 'repair running' 'upgrade running' 'pause running' 'resume paused' 'takeover running'; do
        # shellcheck disable=SC2086 # two words
        walk_under_io $operation
    done
    # These take seconds each where a processor is emulated.
    [ -n "${BULKHEAD_LONG:-}" ] || every=${EVERY_PLUG:-30}
    walk_under_io add running
    walk_under_io remove running
    brought_to running
    spare_is gone
    no_drift vm
    [ -n "${BULKHEAD_LONG:-}" ] || every=${EVERY:-12}
    printf rng | dd of="$T/flag" conv=notrunc 2>/dev/null
    walk_under_io reset running 'tell rng reset'
    disarm
    note "$deaths brokers died; steps: $steps"
    ! grep -E '"event":"(failed|needs_reset)"' "$T/log.out" >&2 || die "a device failed"
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" 'IOSTRESS verify_errors=0 io_errors=0'
    expect_not "$T/log" 'I/O error|needs reset|timed out|NO-ENTROPY|KERNEL'
    settled || die "orphans"
}
