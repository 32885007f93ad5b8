# shellcheck shell=bash
# A user network that comes to a guest that runs, and goes.

# The guest has DHCP from its passt, a page from a server on the host, and a port of the host that leads to it; passt is
# killed, and it has the page again; then all of it goes.
case_hotplug_user_net()
{
    local cmd pid
    cmd=$(script <<'GUEST'
echo WAITING
until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
/tests/net eth0 dhcp || exit 1
gw=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
page() { for i in $(seq 60); do timeout 10 wget -q -O - "http://$gw:8099/page" && return 0; sleep 1; done; return 1; }
page || exit 1
socat -T 100 TCP-LISTEN:22 SYSTEM:'read line; echo "guest got $line"'
echo ANSWERED; await_go /dev/vdb
page && echo PAGE-AGAIN
while [ -e /sys/class/net/eth0 ]; do usleep 100000; done
echo NET-GONE
while :; do sleep 1; done
GUEST
    )
    truncate -s 4k "$T/flag"
    passt_world
    NAME=vm GUEST_TIMEOUT=900 guest_start "$T/log" "bh.mods=virtio_pci,virtio_blk,virtio_net bh.cmd=$cmd bh.tools=/dev/vda" --memory size=256M \
        --rng off --disk "path=$GUEST/disk.ext4,readonly=on" "path=$T/flag,readonly=on" --event-monitor "path=$T/events"
    await "$T/log" '^WAITING'
    holds >"$T/before"
    plug --net user,hostfwd=tcp:127.0.0.1:8022-:22
    await "$T/log" 'PAGE-FROM-THE-HOST'
    for _ in $(seq 60); do # until it listens
        (echo hello-guest; sleep 1) | timeout 100 socat -T 60 - TCP:127.0.0.1:8022 >"$T/answer" 2>/dev/null
        ! grep -q 'guest got' "$T/answer" || break
    done
    expect "$T/answer" 'guest got hello-guest'
    await "$T/log" '^ANSWERED'
    no_drift vm
    expect "$T/audit" "$ID-passt"
    pid=$(pid_of vm "$ID-passt")
    kill -KILL "$pid" && other_pid vm "$ID-passt" "$pid"
    await "$T/events" restarted
    say_go "$T/flag"
    await "$T/log" '^PAGE-AGAIN'
    "$BIN/bulkhead" remove vm "$ID" >"$T/removed" || { show "$T/log"; die "remove failed"; }
    await "$T/log" '^NET-GONE'
    ! socat -u /dev/null TCP:127.0.0.1:8022 2>"$T/refused" || die "the port is still open"
    holds_as_before
    stop_guest
}
