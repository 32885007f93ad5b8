# shellcheck shell=bash
# What the host's side shows and does: ps, audit, the power button, an ordinary user, the ends.

running_guest() # FLAGS...: a guest that stays up; waits until its init has run
{
    local cmd
    cmd=$(echo 'while :; do sleep 1; done' | base64 -w0)
    truncate -s 16M "$T/disk"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --cpus boot=2 --memory size=256M --disk "path=$T/disk" "$@"
    await "$T/log" BULKHEAD-GUEST-INIT
}

case_ps_shows_each_process()
{
    running_guest
    "$BIN/bulkhead" ps vm >"$T/ps" || die "ps failed"
    for what in broker core disk0 rng serial; do expect "$T/ps" "$what"; done
    expect_not "$T/ps" loader
    [ "$(pid_of vm core)" -gt 1 ] || die "no pid of the core"
    tr '\0' ' ' <"/proc/$(pid_of vm core)/task/$(pid_of vm core)/comm" >/dev/null
    grep -hx 'vcpu[01]' "/proc/$(pid_of vm core)/task/"*/comm | sort >"$T/vcpus"
    [ "$(wc -l <"$T/vcpus")" = 2 ] || die "vCPU threads are not named vcpu0 and vcpu1"
    "$BIN/bulkhead" stop vm || die "stop failed"
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}

# A broker that was taken over could fill /run by what it has open for writing there.
no_file_to_fill_run()
{
    local fd path broker

    broker=$(pid_of vm broker)
    [ -n "$broker" ] || die "ps has no broker"
    for fd in "/proc/$broker/fd/"*; do
        path=$(readlink "$fd") || continue
        case $path in /run/* | */lock) ;; *) continue ;; esac
        if [ -f "$path" ] && grep -q '^flags:.*[12]$' "/proc/$broker/fdinfo/${fd##*/}"; then
            die "the broker can write to $path"
        fi
    done
}

case_audit_finds_no_drift()
{
    running_guest
    no_drift vm
    no_file_to_fill_run
    "$BIN/bulkhead" stop vm
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}

# With a guest of two instructions: the groups and their limits, which need a host that delegates them.
case_control_groups()
{
    [ -w /sys/fs/cgroup/cgroup.procs ] || skip "no cgroup v2 of ours at /sys/fs/cgroup"
    BULKHEAD_BIN=$BIN "$ROOT/tests/cli/fleet" >"$T/log" 2>&1 || { show "$T/log"; die "the fleet is not as planned"; }
    expect "$T/log" "ok the groups' limits are in force"
    # as in a service of its own: there the VM's own processes must leave the group first
    mkdir "/sys/fs/cgroup/service-$$"
    FLEET_GROUP=/sys/fs/cgroup/service-$$ BULKHEAD_BIN=$BIN "$ROOT/tests/cli/fleet" >"$T/log" 2>&1 || { show "$T/log"; die "the fleet of a service is not as planned"; }
    expect "$T/log" "ok the groups' limits are in force"
    expect "$T/log" "limited: core rng"
    rmdir "/sys/fs/cgroup/service-$$/supervisor" "/sys/fs/cgroup/service-$$" || die "the service's group is not empty"
}

# Text for the guest that sets $button to the input device of the ACPI power button.
AWAIT_BUTTON=$(cat <<'GUEST'
modprobe -a button evdev
for i in 1 2 3 4 5; do
    button=$(grep -A 4 'Name="Power Button"' /proc/bus/input/devices | grep -o 'event[0-9]*')
    [ -e "/dev/input/$button" ] && break
    sleep 1
done
button=/dev/input/$button
GUEST
)

# The ACPI button arrives as an input event; the guest's own tools decide what to do with it.
case_power_button_shuts_down()
{
    local cmd
    cmd=$(echo "$AWAIT_BUTTON; "'echo READY; head -c 24 $button >/dev/null && echo PRESSED' | base64 -w0)
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M
    await "$T/log" '^READY'
    "$BIN/bulkhead" power-button vm || die "power-button failed"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^PRESSED'
}

# Presses that come before the guest has set up the event device don't cost it all that follow.
case_power_button_pressed_early()
{
    local cmd i
    cmd=$(echo "$AWAIT_BUTTON; "'echo READY; head -c 24 $button >/dev/null && echo PRESSED' | base64 -w0)
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M
    for ((i = 0; i < 2400; i++)); do
        "$BIN/bulkhead" power-button vm 2>/dev/null && break
        sleep 0.05
    done
    "$BIN/bulkhead" power-button vm || die "power-button failed"
    expect_not "$T/log" BULKHEAD-GUEST-INIT
    await "$T/log" '^READY'
    "$BIN/bulkhead" power-button vm || die "power-button failed"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^PRESSED'
}

# A guest that suspended itself to idle has nothing else to wake it. A press between the freezing of its
# tasks and its sleep wakes nobody, so there may be several. The one that wakes it does no more (Linux takes
# it for that), the next one is a press again.
case_power_button_wakes()
{
    local cmd i
    cmd=$(echo "$AWAIT_BUTTON; "'echo freeze >/sys/power/state && echo WOKEN
head -c 24 $button >/dev/null && echo PRESSED' | base64 -w0)
    NAME=vm guest_start "$T/log" "ignore_loglevel no_console_suspend bh.cmd=$cmd" --memory size=256M
    await "$T/log" 'remaining freezable tasks completed'
    for ((i = 0; i < 60; i++)); do
        "$BIN/bulkhead" power-button vm 2>/dev/null || break
        (await "$T/log" '^PRESSED' 2) 2>/dev/null && break
    done
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^WOKEN'
    expect "$T/log" '^PRESSED'
}

# Paused again and again under load of the disk, the network and the entropy device, whose workers stand
# still then: nothing is lost. The guest's watchdog, which finds a CPU stuck after twice its threshold, is
# told of the last pause (KVM_KVMCLOCK_CTRL).
case_pause_and_resume()
{
    local cmd i
    cmd=$(base64 -w0 <<'GUEST'
/tests/net eth0 192.168.243.2/24 - 192.168.243.1 || exit 1
echo 4 >/proc/sys/kernel/watchdog_thresh || exit 2
(until said go /dev/vdb; do echo tick; sleep 0.2; done) &
(until said go /dev/vdb; do head -c 512 /dev/hwrng >/dev/null || echo NO-ENTROPY; done) &
(iperf3 -c 192.168.243.1 -p 5296 -t 600 -i 0 -b 8M >/tmp/iperf 2>&1; said go /dev/vdb || echo NET-FAILED) &
/tests/iostress /dev/vda 600 4 /dev/vdb
pkill iperf3
ping -c 3 -W 5 192.168.243.1 >/dev/null && echo NET-WORKS
dmesg | grep -E 'soft lockup|hung|I/O error|needs reset|timed out' | sed 's/^/KERNEL /'
GUEST
    )
    truncate -s 16M "$T/disk"; truncate -s 4k "$T/flag"
    iperf3 -s -p 5296 >/dev/null 2>&1 &
    local server=$! before status
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vdc" --memory size=256M \
        --disk "path=$T/disk" "path=$T/flag,readonly=on" "path=$GUEST/disk.ext4,readonly=on" \
        --net tap=bh7,ip=192.168.243.1,mask=255.255.255.0
    await "$T/log" '^IOSTRESS t=2'
    for ((i = 0; i < 10; i++)); do
        "$BIN/bulkhead" pause vm && "$BIN/bulkhead" resume vm || die "pause or resume failed"
        sleep "0.0$((RANDOM % 10))"
    done
    "$BIN/bulkhead" pause vm || die "pause failed"
    "$BIN/bulkhead" ps vm --json >"$T/ps" || die "ps failed"
    for i in disk0 disk1 disk2 net0 rng serial; do
        grep -A 12 "\"name\": *\"$i\"" "$T/ps" | grep quiesced >/dev/null || { cat "$T/ps" >&2; die "$i is not quiesced"; }
    done
    before=$(wc -c <"$T/log")
    sleep 12
    [ "$before" = "$(wc -c <"$T/log")" ] || die "a paused guest printed"
    "$BIN/bulkhead" resume vm || die "resume failed"
    await_count "$T/log" '^tick' $(($(grep -c '^tick' "$T/log") + 20))
    say_go "$T/flag"
    wait "$GUEST_PID"
    status=$?
    kill "$server"; wait "$server" 2>/dev/null
    expect_status 0 $status "$T/log"
    expect "$T/log" 'IOSTRESS verify_errors=0 io_errors=0'
    expect "$T/log" '^NET-WORKS'
    expect_not "$T/log" '^KERNEL|^NO-ENTROPY|^NET-FAILED'
}

case_ordinary_user()
{
    truncate -s 8M "$T/disk"
    a_users_files "$T/disk" "$T/log"
    as_user "$BIN/bulkhead" run --name user --kernel "$KERNEL" \
        --initramfs "$INITRAMFS" --cmdline "$QUIET bh.test=hello" --memory size=256M \
        --disk "path=$T/disk" --serial "file=$T/log" </dev/null >"$T/log.out" 2>"$T/log.err"
    expect_status 0 $? "$T/log"
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

# The core's death ends the VM at once and leaves no orphan.
case_core_death_ends_the_vm()
{
    running_guest
    local pids core begin end pid alive
    core=$(pid_of vm core)
    pids=$(pgrep -f "$BIN/bulkhead-dev|bulkhead-dev" || true)
    [ -n "$pids" ] || die "no workers found"
    begin=${EPOCHREALTIME/./}
    kill -KILL "$core"
    while :; do
        alive=''
        for pid in $pids; do grep -qs '^State:.[^Z]' "/proc/$pid/status" && alive=1; done
        [ -z "$alive" ] && break
        end=${EPOCHREALTIME/./}
        [ $((end - begin)) -lt 20000000 ] || die "workers outlive the core"
    done
    end=${EPOCHREALTIME/./}
    note "workers were gone $(((end - begin) / 1000)) ms after the core"
    wait "$GUEST_PID"
    expect_status 1 $? "$T/log"
    expect "$T/log.err" core
}

# A broker that is not started again leaves the guest running; then the core's death still ends everything.
case_broker_death_leaves_the_guest_running()
{
    local cmd
    cmd=$(echo 'while :; do dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync 2>/dev/null && echo wrote; sleep 0.3; done' | base64 -w0)
    truncate -s 16M "$T/disk"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/disk" --crash-limit 1
    await "$T/log" '^wrote'
    local core broker
    core=$(pid_of vm core) broker=$(pid_of vm broker)
    kill -KILL "$broker"
    wait "$GUEST_PID" || true
    GUEST_PID=''
    sleep 1
    await_count "$T/log" '^wrote' $(($(grep -c '^wrote' "$T/log") + 3))
    kill -KILL "$core"
    for _ in $(seq 600); do pgrep bulkhead >/dev/null || break; sleep "$POLL"; done
    rm -rf "${BULKHEAD_RUNDIR:?}"/vm # nobody is left who could
    ! pgrep -a bulkhead || die "orphans"
}
