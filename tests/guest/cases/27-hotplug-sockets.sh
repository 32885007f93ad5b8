# shellcheck shell=bash
# Sockets that come and go under Linux: what is said over them, both ways, and what is left of them, which is nothing.

# talk_vsock PATH WHAT: the host connects to the guest; says WHAT, hears it again.
talk_vsock()
{
    local i
    for ((i = 0; i < 60; i++)); do # until it listens
        (echo 'CONNECT 77'; sleep 1; echo "$2"; for _ in $(seq 100); do grep -q 'guest got' "$T/answer" && break; sleep 0.2; done) |
            timeout 100 socat - "UNIX-CONNECT:$1" >"$T/answer" 2>/dev/null
        ! grep "guest got $2" "$T/answer" >/dev/null || return 0
        sleep 0.5
    done
    return 1
}

# talk_console PATH WHAT: the same over the console.
talk_console()
{
    (echo "$2"; for _ in $(seq 300); do grep -q "console got $2" "$T/console" && break; sleep 0.2; done) |
        timeout 100 socat - "UNIX-CONNECT:$1" >"$T/console"
    grep "console got $2" "$T/console" >/dev/null
}

case_hotplug_sockets()
{
    local cmd round
    cmd=$(script <<'GUEST'
modprobe vmw_vsock_virtio_transport && modprobe virtio_console || exit 1
devices() { ls /sys/bus/virtio/devices | wc -l; }
had=$(devices)
echo SOCKETS-READY
for round in 1 2; do
    until [ "$(devices)" = $((had + 2)) ]; do usleep 100000; done
    until [ -c /dev/hvc0 ]; do usleep 100000; done
    (while read -r line; do echo "console got $line"; done) </dev/hvc0 >/dev/hvc0 2>/dev/null &
    socat VSOCK-LISTEN:77,reuseaddr,fork SYSTEM:'read line; echo "guest got $line"; sleep 1' & listener=$!
    echo "CAME $round"
    until echo "hello from the guest $round" | socat -u - VSOCK-CONNECT:2:1234; do usleep 200000; done
    echo "SAID $round"
    until [ "$(devices)" = "$had" ]; do usleep 100000; done
    kill $listener
    echo "WENT $round"
done
until [ "$(devices)" = $((had + 1)) ]; do usleep 100000; done
echo THIRD
await_go /dev/vda
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm GUEST_TIMEOUT=900 guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vdb" --memory size=256M --rng off \
        --disk "path=$T/flag,readonly=on" --disk "path=$GUEST/disk.ext4,readonly=on"
    await "$T/log" '^SOCKETS-READY'
    for round in 1 2; do
        timeout 300 socat -u "UNIX-LISTEN:$T/vs_1234" "CREATE:$T/from-guest" &
        "$BIN/bulkhead" add vm --console "socket=$T/cs" >"$T/added" || die "no console"
        "$BIN/bulkhead" add vm --vsock "cid=42,socket=$T/vs" >"$T/added" || die "no vsock"
        await "$T/log" "^CAME $round"
        await "$T/log" "^SAID $round"
        await "$T/from-guest" "hello from the guest $round"
        talk_vsock "$T/vs" "host-$round" || { show "$T/log"; die "the guest does not hear the vsock"; }
        talk_console "$T/cs" "host-$round" || { show "$T/log"; die "the guest does not hear the console"; }
        no_drift vm
        expect "$T/audit" vsock0-socket
        expect "$T/audit" console-socket
        "$BIN/bulkhead" remove vm vsock0 >"$T/removed" || { show "$T/log"; die "the vsock stays"; }
        [ ! -e "$T/vs" ] || die "the vsock's file is still there"
        "$BIN/bulkhead" remove vm console --force >"$T/removed" || { show "$T/log"; die "the console stays"; }
        [ ! -e "$T/cs" ] || die "the console's file is still there"
        await "$T/log" "^WENT $round"
        rm -f "$T/vs_1234" "$T/from-guest"
    done
    "$BIN/bulkhead" add vm --vsock "cid=42,socket=$T/vs" >"$T/added" || die "no vsock"
    await "$T/log" '^THIRD'
    [ -S "$T/vs" ] || die "there is no socket"
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    [ ! -e "$T/vs" ] || die "the file outlived the VM"
}

# A macvtap comes to a running guest: it works, its cable is pulled and put in, it goes.
case_hotplug_macvtap()
{
    local cmd
    cmd=$(script <<'GUEST'
carrier() { until [ "$(cat /sys/class/net/eth0/carrier 2>/dev/null)" = "$1" ]; do sleep 0.1; done; echo "$2"; }
modprobe virtio_net || exit 3
echo NET-READY
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
ip link set eth0 up || exit 1
carrier 1 UP
/tests/net eth0 192.168.243.2/24 - 192.168.243.1 || exit 2
carrier 0 DOWN
carrier 1 UP-AGAIN
while [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
echo GONE
await_go /dev/vda
GUEST
    )
    truncate -s 4k "$T/flag"
    trap 'ip link del bhcable 2>/dev/null' EXIT # of this case
    ip link add bhcable type veth peer name bhfar && ip addr add 192.168.243.1/24 dev bhfar && ip link set bhfar up && ip link set bhcable up &&
        ip link add link bhcable name bhmv address 52:54:00:00:00:01 type macvtap mode bridge && ip link set bhmv up || die "no macvtap"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on"
    await "$T/log" '^NET-READY'
    "$BIN/bulkhead" add vm --net macvtap,tap=bhmv,mac=52:54:00:00:00:01 >"$T/added" || die "no macvtap added"
    await "$T/log" 'ok: 192.168.243.1 answers'
    no_drift vm
    ! "$BIN/bulkhead" add vm --net macvtap,tap=bhmv 2>"$T/refused" || die "one macvtap twice"
    expect "$T/refused" 'use the same interface bhmv'
    ip link set bhmv down
    await "$T/log" '^DOWN'
    ip link set bhmv up
    await "$T/log" '^UP-AGAIN'
    "$BIN/bulkhead" remove vm net0 >"$T/removed" || { show "$T/log"; die "remove failed"; }
    await "$T/log" '^GONE'
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
}
