# shellcheck shell=bash
# Networks that the broker has a part in outlive it: passt, which its successor replaces, and a macvtap, whose link it watches.
# shellcheck source=tests/guest/cases/60-net.sh
. "$ROOT/tests/guest/cases/60-net.sh"

# tell_guest WORD: to one that waits for it.
tell_guest() { printf '%s ' "$1" | dd of="$T/flag" conv=notrunc 2>/dev/null; }

case_passt_outlives_the_broker()
{
    local cmd pid
    cmd=$(script <<'GUEST'
/tests/net eth0 dhcp || exit 1
gw=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
page() { for i in $(seq 60); do timeout 10 wget -q -O - "http://$gw:8099/page" && return 0; sleep 1; done; return 1; }
downs=$(cat /sys/class/net/eth0/carrier_down_count)
for n in 1 2 3 4; do
    bhio await "go$n" /dev/vda
    page && echo "PAGE-$n"
done
echo "DOWNS $(($(cat /sys/class/net/eth0/carrier_down_count) - downs))"
GUEST
    )
    truncate -s 4k "$T/flag"
    passt_world
    NAME=vm GUEST_TIMEOUT=600 guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on" \
        --net user --crash-limit 64 --json
    await "$T/log" 'ok: DHCP answers'
    pid=$(pid_of vm net0-passt)
    kill_broker
    tell_guest go1
    await "$T/log" '^PAGE-1'
    [ "$(pid_of vm net0-passt)" = "$pid" ] || die "passt was replaced for its broker's death"
    kill -KILL "$pid" # under a broker that did not start it
    other_pid vm net0-passt "$pid"
    tell_guest go2
    await "$T/log" '^PAGE-2'
    pid=$(pid_of vm net0-passt)
    kill_broker_only
    kill -KILL "$pid" # while there is none
    sleep 1
    broker_back
    other_pid vm net0-passt "$pid"
    tell_guest go3
    await "$T/log" '^PAGE-3'
    kill_broker
    pid=$(pid_of vm net0)
    kill -KILL "$pid" # the worker gets the same stream
    other_pid vm net0 "$pid"
    no_drift vm
    tell_guest go4
    await "$T/log" '^PAGE-4'
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^DOWNS 0'
    [ "$(grep -c '"event":"passt_died"' "$T/log.out")" = 2 ] || { show "$T/log.out"; die "passt did not die twice"; }
}

case_macvtap_outlives_the_broker()
{
    local cmd pid
    cmd=$(script <<'GUEST'
/tests/net eth0 192.168.243.2/24 - 192.168.243.1 || exit 1
answer() { for i in $(seq 30); do ping -c 1 -W 2 192.168.243.1 >/dev/null && return 0; done; return 1; }
carrier() { until [ "$(cat /sys/class/net/eth0/carrier)" = "$1" ]; do sleep 0.1; done; echo "$2"; }
echo HOLDING
for n in 1 2; do
    bhio await "go$n" /dev/vda
    answer && echo "ANSWER-$n"
done
carrier 0 DOWN
carrier 1 UP
carrier 0 DOWN-MEANWHILE
carrier 1 UP-AGAIN
answer && echo ANSWER-3
GUEST
    )
    truncate -s 4k "$T/flag"
    trap 'ip link del bhcable 2>/dev/null' EXIT # of this case
    ip link add bhcable type veth peer name bhfar && ip addr add 192.168.243.1/24 dev bhfar && ip link set bhfar up && ip link set bhcable up &&
        ip link add link bhcable name bhmv address 52:54:00:00:00:01 type macvtap mode bridge && ip link set bhmv up || die "no macvtap"
    NAME=vm GUEST_TIMEOUT=600 guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on" \
        --net macvtap,tap=bhmv,mac=52:54:00:00:00:01 --crash-limit 64 --json
    await "$T/log" '^HOLDING'
    kill_broker
    tell_guest go1
    await "$T/log" '^ANSWER-1'
    pid=$(pid_of vm net0)
    kill -KILL "$pid"
    other_pid vm net0 "$pid"
    tell_guest go2
    await "$T/log" '^ANSWER-2'
    ip link set bhmv down
    await "$T/log" '^DOWN'
    ip link set bhmv up
    await "$T/log" '^UP'
    kill_broker_only
    ip link set bhmv down # nobody sees it
    sleep 1
    broker_back
    await "$T/log" '^DOWN-MEANWHILE'
    kill_broker
    ip link set bhmv up
    await "$T/log" '^UP-AGAIN'
    await "$T/log" '^ANSWER-3'
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    ip link del bhcable
    ! grep '"event":"died".*Killed' "$T/log.out" | sed 1d | grep . >&2 || die "a worker died that was not killed"
}
