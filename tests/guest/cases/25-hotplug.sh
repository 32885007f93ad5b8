# shellcheck shell=bash
# Devices come and go while an unmodified guest runs.
# shellcheck source=tests/cli/lib.sh
. "$ROOT/tests/cli/lib.sh"

# What the guest says: "HOTPLUG ready" when it watches, "PCI ADDRESS ID" for each function that comes, "GONE NAME" for
# all that goes. It uses what comes: a disk, a network, a console; of a vsock it says that its driver has it.
PLUG_WATCH='
try_disk() {
    dd if=/dev/urandom of=/run/pattern bs=4k count=64 2>/dev/null
    if dd if=/run/pattern of="/dev/$1" bs=4k oflag=direct 2>/dev/null &&
        dd if="/dev/$1" of=/run/back bs=4k count=64 iflag=direct 2>/dev/null && cmp /run/pattern /run/back; then
        echo "DISK $1 ok $(md5sum </run/pattern | cut -c1-32)"
    else
        echo "DISK $1 bad"
    fi
}
try_net() { ip link set "$1" up && ip addr add 10.77.0.2/24 dev "$1" && ping -c 1 -W 20 10.77.0.1 >/dev/null && echo "NET $1 ok" || echo "NET $1 bad"; }
is_new() { case " $had " in *" $1 "*) return 1 ;; esac; }
had=
echo "HOTPLUG ready"
while :; do
    have=$(cd /sys/bus/pci/devices && echo *; cd /sys/block && echo vd*; cd /sys/class/net && echo *; cd /dev && echo hvc*; cd /sys/bus/virtio/drivers/vmw_vsock_virtio_transport && echo virtio*)
    for d in $have; do
        is_new "$d" || continue
        case $d in
        0000:*) echo "PCI $d $(cat "/sys/bus/pci/devices/$d/device")" ;;
        vd?) [ "$(cat "/sys/block/$d/ro")" = 1 ] || try_disk "$d" ;;
        eth*) try_net "$d" ;;
        hvc0) [ -c /dev/hvc0 ] && echo "hello from the guest" >/dev/hvc0 ;;
        virtio[0-9]*) echo "VSOCK $d ok" ;;
        esac
    done
    now=" $(echo $have) "
    for d in $had; do case "$now" in *" $d "*) ;; *) echo "GONE $d" ;; esac; done
    had=$(echo $have)
    usleep 100000
done'

PLUG_MODS=bh.mods=virtio_pci,virtio_blk,virtio_rng,virtio_net,virtio_balloon,virtio_console,vmw_vsock_virtio_transport

# plug_guest [FLAG]...: such a guest, named vm.
plug_guest()
{
    NAME=vm GUEST_TIMEOUT=900 guest_start "$T/log" "$PLUG_MODS bh.cmd=$(echo "$PLUG_WATCH" | base64 -w0)" \
        --memory size=256M "$@"
    await "$T/log" '^HOTPLUG ready'
}

# plug FLAG VALUE: adds that device; its id and address in $ID, $ADDRESS.
plug()
{
    "$BIN/bulkhead" add vm "$@" --json >"$T/added" || { show "$T/log.err"; die "add $* failed"; }
    ID=$(sed -n 's/.*"device": *"\([^"]*\)".*/\1/p' "$T/added")
    ADDRESS=$(sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' "$T/added")
    [ -n "$ID" ] && [ -n "$ADDRESS" ] || die "add said: $(cat "$T/added")"
}

# unplug ID: with the guest's consent. One with much to do, on a processor that is emulated, may need more than the 20 s
# that remove waits: then it is asked again, or has let go meanwhile.
unplug()
{
    local i
    for i in 1 2 3; do
        "$BIN/bulkhead" remove vm "$1" >"$T/removed" 2>&1 && return
        ! grep -q "no device '$1'" "$T/removed" || [ "$i" = 1 ] || return 0
        grep -q 'has not let go of it' "$T/removed" || break
    done
    show "$T/log" "$T/removed"
    die "remove $1 failed"
}

# How much the VM's processes hold: descriptors of each but for pidfds (who has ended may still have one), and cgroups.
holds()
{
    local name pid
    "$BIN/bulkhead" ps vm >"$T/ps"
    processes_in "$T/ps" | sort -k 2 | while read -r pid name; do
        echo "$name $(find "/proc/$pid/fd" -mindepth 1 ! -lname '*pidfd*' | wc -l)"
    done
    pid=$(pid_of vm core)
    find "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")/.." -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort
}

# holds_as_before [WHEN]: what it held when that was noted in $T/before; what goes may take a moment.
holds_as_before()
{
    local i
    for ((i = 0; i < 50; i++)); do
        holds >"$T/after"
        cmp -s "$T/before" "$T/after" && return 0
        sleep "$POLL"
    done
    diff "$T/before" "$T/after" >&2
    die "${1:+$1: }something stayed behind"
}

stop_guest()
{
    "$BIN/bulkhead" stop vm || die "stop failed"
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}

case_hotplug_disk()
{
    local md5
    truncate -s 64M "$T/disk"
    plug_guest --rng off
    holds >"$T/before"
    plug --disk "path=$T/disk"
    [ "$ID" = disk0 ] && [ "$ADDRESS" = 0000:00:01.0 ] || die "it is $ID at $ADDRESS"
    await "$T/log" "^PCI $ADDRESS 0x1042"
    await "$T/log" '^DISK vda ok'
    md5=$(tr -d '\r' <"$T/log" | sed -n 's/^DISK vda ok //p')
    [ "$(head -c 262144 "$T/disk" | md5sum | cut -c1-32)" = "$md5" ] || die "the host sees other bytes than the guest wrote"
    no_drift vm
    expect "$T/audit" disk0
    "$BIN/bulkhead" ps vm | grep disk0 >"$T/ps" || die "ps does not know it"
    "$BIN/bulkhead" remove vm disk0 >"$T/removed" || { show "$T/log"; die "remove failed"; }
    await "$T/log" '^GONE vda'
    holds_as_before
    no_drift vm
    stop_guest
}

# Booted with nothing but a serial port: each kind comes, works, and goes.
case_hotplug_all_kinds()
{
    local tap=bhcase0 id i
    local -A address
    ip tuntap add $tap mode tap || die "no tap"
    truncate -s 16M "$T/disk"
    plug_guest --rng off
    holds >"$T/before"
    plug --balloon size=0 && address[$ID]=$ADDRESS
    await "$T/log" "^PCI $ADDRESS 0x1045"
    plug --net "tap=$tap,ip=10.77.0.1,mask=255.255.255.0" && address[$ID]=$ADDRESS
    await "$T/log" '^NET eth0 ok'
    plug --console "file=$T/hvc" && address[$ID]=$ADDRESS
    await "$T/hvc" 'hello from the guest'
    plug --disk "path=$T/disk" && address[$ID]=$ADDRESS
    await "$T/log" '^DISK vda ok'
    plug --vsock "cid=42,socket=$T/vsock" && address[$ID]=$ADDRESS
    await "$T/log" "^PCI $ADDRESS 0x1053"
    await "$T/log" '^VSOCK virtio[0-9]+ ok'
    # Nobody listens there: so says the guest's driver, and the connection ends.
    echo 'CONNECT 77' | timeout 60 socat -t 60 - "UNIX-CONNECT:$T/vsock" >"$T/answer" || die "the guest's vsock does not answer"
    [ ! -s "$T/answer" ] || die "it answered: $(cat "$T/answer")"
    [ ${#address[@]} = 5 ] || die "not five devices: ${!address[*]}"
    "$BIN/bulkhead" set vm balloon size=32M || die "the balloon can't be set"
    for ((i = 0; i < 200; i++)); do [ "$(figure vm balloon balloon_bytes)" = $((32 << 20)) ] && break; sleep "$POLL"; done
    [ $i -lt 200 ] || die "the balloon does not fill"
    "$BIN/bulkhead" pause vm && "$BIN/bulkhead" resume vm || die "no pause with what was added"
    no_drift vm
    for id in "${!address[@]}"; do
        "$BIN/bulkhead" remove vm "$id" >>"$T/removed" || { show "$T/log"; die "remove $id failed"; }
        await "$T/log" "^GONE ${address[$id]}"
    done
    holds_as_before
    no_drift vm
    stop_guest
    ip link del $tap
}

# The broker dies with a device that was added, without one that was removed, and while one goes: the next one
# knows of each, repairs it, removes it, adds another in its place; and a new build may follow.
case_hotplug_outlives_the_broker()
{
    local pid i
    . "$ROOT/tests/fault/cases/54-broker.sh"
    truncate -s 16M "$T/disk" "$T/other"
    plug_guest --balloon size=0 --json
    plug --disk "path=$T/disk"
    await "$T/log" '^DISK vda ok'
    "$BIN/bulkhead" remove vm balloon >"$T/removed" || { show "$T/log"; die "remove failed"; }
    pid=$(pid_of vm disk0)
    kill_broker_only
    kill -KILL "$pid" || die "no disk0"
    broker_back
    await "$T/log.out" '"event":"restarted","properties":{"id":"disk0"'
    holds >"$T/before"
    no_drift vm
    plug --disk "path=$T/other"
    [ "$ID" = disk1 ] || die "it is $ID"
    await "$T/log" '^DISK vdb ok'
    "$BIN/bulkhead" upgrade vm broker || die "upgrade failed"
    "$BIN/bulkhead" remove vm disk1 >"$T/removed" &
    pid=$!
    kill_broker
    wait $pid
    for ((i = 0; i < 300; i++)); do [ -n "$(pid_of vm disk1)" ] || break; sleep "$POLL"; done
    [ $i -lt 300 ] || { show "$T/log"; die "disk1 did not go"; }
    await "$T/log" '^GONE vdb'
    holds_as_before
    kill_broker
    "$BIN/bulkhead" remove vm disk0 >"$T/removed" || { show "$T/log"; die "remove failed"; }
    await "$T/log" '^GONE vda'
    plug --disk "path=$T/other"
    [ "$ID" = disk0 ] || die "it is $ID"
    await_count "$T/log" '^DISK vda ok' 2
    no_drift vm
    stop_guest
}

# Of each kind one comes and goes, a console and a network of each of two modes, while another disk is under verified I/O
# and its worker is killed between: what the processes hold is the same after each round as after the first.
# BULKHEAD_LONG: ROUNDS, 200 if not said.
case_hotplug_rounds()
{
    local rounds=2 round flags i
    local -A pid
    [ -z "${BULKHEAD_LONG:-}" ] || rounds=${ROUNDS:-200}
    truncate -s 16M "$T/spare"
    trap 'ip link del bhcable 2>/dev/null' EXIT # of this case
    ip link add bhcable type veth peer name bhfar && ip link set bhcable up &&
        ip link add link bhcable name bhmv address 52:54:00:00:00:01 type macvtap mode bridge && ip link set bhmv up || die "no macvtap"
    flags=("--disk path=$T/spare" "--balloon size=0" "--console null" "--net tap=bhcase1" "--vsock cid=42,socket=$T/vsock"
        "--console socket=$T/console" "--net macvtap,tap=bhmv,mac=52:54:00:00:00:01")
    . "$ROOT/tests/fault/cases/50-repair.sh"
    . "$ROOT/tests/hostile-guest/lib.sh"
    STRESS_S=$((300 + rounds * 60)) STRESS_ARGS=$PLUG_MODS stress_guest --json
    pid[disk0]=$(pid_of vm disk0)
    for ((round = 0; round < rounds; round++)); do
        for i in "${!flags[@]}"; do
            # shellcheck disable=SC2086 # two words
            plug ${flags[i]}
            ((i != round % ${#flags[@]})) || kill_worker disk0
            unplug "$ID"
        done
        [ ! -e "$T/vsock" ] && [ ! -e "$T/console" ] || die "round $round: a socket's file stayed"
        # A worker in another's place is not all of a first one.
        [ $round -gt 0 ] || { sleep 0.5; holds >"$T/before"; }
        holds_as_before "round $round"
        memory_beside_ram vm >"$T/memory.$round"
        ((round % 20 != 19)) || note "$((round + 1)) rounds"
    done
    note "memory beside guest RAM: $(cat "$T/memory.0") KiB after the first round, $(cat "$T/memory.$((rounds - 1))") after the last"
    [ "$(cat "$T/memory.$((rounds - 1))")" -lt $(($(cat "$T/memory.0") + 2048)) ] || die "it grows"
    no_harm_done
}

# A disk that is mounted in the guest goes. Asked, Linux writes what it still has of it and lets go; by force, what was
# synced is all there is. Either way it is one line, its file system fails in the guest and can be unmounted, and the VM
# goes on.
case_hotplug_mounted_disk()
{
    local how cmd force status
    cmd=$(script <<'GUEST'
mkdir -p /mnt
for how in asked forced; do
    echo "READY $how"
    until [ -b /dev/vdb ]; do usleep 100000; done
    mount -t ext4 /dev/vdb /mnt || exit 1
    echo "synced $how" >/mnt/synced && sync
    echo "late $how" >/mnt/late
    echo "MOUNTED $how"
    while [ -b /dev/vdb ]; do usleep 100000; done
    (echo more >/mnt/more && sync && echo again >/mnt/again) 2>/dev/null
    [ ! -e /mnt/again ] && umount /mnt && echo "UNMOUNTED $how"
    dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null && echo "OTHER $how"
done
await_go /dev/vda
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm GUEST_TIMEOUT=900 guest_start "$T/log" "$PLUG_MODS bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on"
    for how in asked forced; do
        force=()
        [ $how = asked ] || force=(--force)
        truncate -s 16M "$T/$how"
        mkfs.ext4 -q "$T/$how" || die "no file system"
        await "$T/log" "^READY $how"
        holds >"$T/before"
        plug --disk "path=$T/$how"
        await "$T/log" "^MOUNTED $how"
        "$BIN/bulkhead" remove vm disk1 "${force[@]}" >"$T/removed" 2>&1 || { show "$T/log" "$T/removed"; die "remove ${force[*]} failed"; }
        [ "$(cat "$T/removed")" = 'vm: disk1 was removed' ] || die "it said: $(cat "$T/removed")"
        holds_as_before "$how"
        await "$T/log" "^UNMOUNTED $how"
        await "$T/log" "^OTHER $how"
        e2fsck -fp "$T/$how" >"$T/fsck" 2>&1
        status=$?
        [ $status -le 1 ] || { show "$T/fsck"; die "$how: e2fsck can't mend it"; }
        [ "$(debugfs -R 'cat synced' "$T/$how" 2>/dev/null)" = "synced $how" ] || die "$how: what was synced is lost"
        [ $how != asked ] || [ "$(debugfs -R 'cat late' "$T/$how" 2>/dev/null)" = 'late asked' ] || die "what was written is lost"
    done
    no_drift vm
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
}
