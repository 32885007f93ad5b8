# shellcheck shell=bash
# Network, vsock and balloon, judged by the software of others: ping, iperf3, DHCP, wget, socat.

script() { base64 -w0; }

# far_world SUBNET: another host, a namespace with 10.77.0.2; on the way there nftables translates the
# guest's addresses, and counts.
far_world()
{
    netns_was_there=$(ls -d /run/netns 2>/dev/null)
    trap 'ip netns del bhfar; nft delete table ip bhtest
        [ -n "$netns_was_there" ] || { umount /run/netns && rmdir /run/netns; }' EXIT # of this case
    ip netns add bhfar && ip link add bhnear type veth peer name bhfar netns bhfar &&
        ip addr add 10.77.0.1/24 dev bhnear && ip link set bhnear up &&
        ip -n bhfar addr add 10.77.0.2/24 dev bhfar && ip -n bhfar link set bhfar up || die "no namespace"
    echo 1 >/proc/sys/net/ipv4/ip_forward
    nft -f - <<RULES || die "no nftables"
table ip bhtest {
    chain post {
        type nat hook postrouting priority srcnat
        ip saddr $1 oifname bhnear counter masquerade
    }
    chain forward {
        type filter hook forward priority filter
        tcp dport 5300 counter reject with tcp reset
    }
}
RULES
}

# A tap that the broker makes, and a server beyond the host: both ways, with segmentation offload and without.
case_net_tap()
{
    local cmd server
    cmd=$(script <<'GUEST'
/tests/net eth0 192.168.249.2/24 192.168.249.1 192.168.249.1 10.77.0.2 || exit 1
head -c 1000000 /dev/urandom >/tmp/random
md5sum </tmp/random | sed 's/^/SENT /'
socat -u OPEN:/tmp/random TCP:10.77.0.2:5298 || exit 1
socat -u OPEN:/tmp/random TCP:10.77.0.2:5300 2>/dev/null && exit 1
for tso in on off; do
    ethtool -K eth0 tso $tso gso $tso gro $tso || exit 1
    for way in '' -R; do
        iperf3 -c 10.77.0.2 -p 5299 -t 3 $way | sed -n "/receiver/s/^/TSO-$tso$way /p" | grep . || exit 1
    done
done
GUEST
    )
    far_world 192.168.249.0/24
    ip netns exec bhfar iperf3 -s -p 5299 >"$T/server" 2>&1 &
    server=$!
    (timeout 200 ip netns exec bhfar socat -u TCP-LISTEN:5298,reuseaddr "CREATE:$T/received") &
    guest "$T/log" "bh.cmd=$cmd bh.tools=/dev/vda" --memory size=512M --cpus boot=2 --disk "path=$GUEST/disk.ext4,readonly=on" \
        --net tap=bh0,ip=192.168.249.1,mask=255.255.255.0,mac=52:54:00:12:34:56,host_mac=52:54:00:12:34:57
    local status=$?
    kill "$server"; wait "$server" 2>/dev/null
    expect_status 0 $status "$T/log"
    for host in 192.168.249.1 10.77.0.2; do expect "$T/log" "ok: $host answers"; done
    expect "$T/log" 'net: eth0 52:54:00:12:34:56'
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
    note "$(sed -n 's/^\(TSO[^ ]*\).*Bytes *\([0-9.]* [^ ]*\).*/\1 \2/p' "$T/log" | tr '\n' ' ')"
    [ "$(grep -c '^TSO' "$T/log")" = 4 ] || { show "$T/log"; die "not four rates"; }
    expect "$T/log" "SENT $(md5sum <"$T/received" | cut -d' ' -f1)"
    expect "$T/server" 'Accepted connection from 10.77.0.1'
    [ "$(nft list table ip bhtest | grep -c 'counter packets [1-9]')" = 2 ] || { nft list table ip bhtest >&2; die "nftables saw nothing"; }
    ! ip link show bh0 2>/dev/null || die "the tap is still there"
}

case_net_four_queues_and_mtu()
{
    local cmd
    cmd=$(script <<'GUEST'
/tests/net eth0 192.168.248.2/24 - 192.168.248.1 || exit 1
[ "$(cat /sys/class/net/eth0/mtu)" = 9000 ] || exit 2
[ "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)" = 4 ] || exit 3
ping -c 2 -s 8000 192.168.248.1
GUEST
    )
    guest "$T/log" "bh.cmd=$cmd" --memory size=512M --cpus boot=4 \
        --net tap=bh1,ip=192.168.248.1,mask=255.255.255.0,mtu=9000,num_queues=8
    expect_status 0 $? "$T/log"
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

# Rootless: an ordinary user's guest has DHCP from passt, a page from a server on the host, and a port of the
# host that leads to it. passt wants a route to speak of.
case_net_user()
{
    local cmd
    cmd=$(script <<'GUEST'
/tests/net eth0 dhcp || exit 1
gw=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
wget -q -O - "http://$gw:8099/page" || exit 1
socat -T 100 TCP-LISTEN:22 SYSTEM:'read line; echo "guest got $line"'
GUEST
    )
    passt_world
    a_users_files "$T/log" "$T/log.out" "$T/log.err"
    as_user "$BIN/bulkhead" run --name vm --kernel "$KERNEL" --initramfs "$INITRAMFS" --cmdline "$QUIET bh.tools=/dev/vda bh.cmd=$cmd" \
        --memory size=256M --disk "path=$GUEST/disk.ext4,readonly=on" --net hostfwd=tcp:127.0.0.1:8022-:22 --serial "file=$T/log" \
        </dev/null >"$T/log.out" 2>"$T/log.err" &
    GUEST_PID=$!
    await "$T/log" 'PAGE-FROM-THE-HOST'
    for _ in $(seq 60); do # until it listens
        (echo hello-guest; sleep 1) | timeout 100 socat -T 60 - TCP:127.0.0.1:8022 >"$T/answer" 2>/dev/null
        ! grep -q 'guest got' "$T/answer" || break
    done
    wait "$GUEST_PID"
    local status=$?
    expect_status 0 $status "$T/log"
    expect "$T/log" 'ok: DHCP answers'
    expect "$T/answer" 'guest got hello-guest'
}

# A route for passt to speak of, and a web server.
passt_world()
{
    ip link add bhdummy type dummy && ip addr add 10.99.0.2/24 dev bhdummy && ip link set bhdummy up &&
        ip route add default via 10.99.0.1 dev bhdummy || die "no dummy interface"
    mkdir "$T/www" && echo PAGE-FROM-THE-HOST >"$T/www/page" && head -c 20M /dev/zero >"$T/www/big"
    busybox httpd -f -p 127.0.0.1:8099 -h "$T/www" &
    HTTPD=$!
    trap end_of_passt_world EXIT # of this case
}
end_of_passt_world() { kill "$HTTPD"; wait "$HTTPD" 2>/dev/null; ip link del bhdummy; }

# other_pid VM PROCESS PID: waits until it is another.
other_pid()
{
    local i now
    for ((i = 0; i < 300; i++)); do
        now=$(pid_of "$1" "$2")
        [ -n "$now" ] && [ "$now" != 0 ] && [ "$now" != "$3" ] && return 0
        sleep "$POLL"
    done
    die "no other $2 than $3"
}

# passt killed in the middle of downloads: the guest keeps its link, and gets a page again. Too often:
# the link goes down, until a repair. The link that the user set holds over a worker's death.
case_net_passt_killed()
{
    local cmd i pid status
    cmd=$(script <<'GUEST'
/tests/net eth0 dhcp || exit 1
gw=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
told() { bhio await "$1" /dev/vda; }
carrier() { until [ "$(cat /sys/class/net/eth0/carrier)" = "$1" ]; do sleep 0.1; done; }
page() { for i in $(seq 60); do timeout 10 wget -q -O - "http://$gw:8099/page" && return 0; sleep 1; done; return 1; }
page || exit 1
(while :; do timeout 10 wget -q -O /dev/null "http://$gw:8099/big"; done) &
downs=$(cat /sys/class/net/eth0/carrier_down_count) # the driver counts its own start
echo LOADED; told go1
kill $!
echo "DOWNS $(($(cat /sys/class/net/eth0/carrier_down_count) - downs))"
page && echo PAGE-AGAIN; told go2
page && echo PAGE-AFTER-NONSENSE
carrier 0; echo CARRIER-DOWN
carrier 1; echo CARRIER-UP
page && echo PAGE-AFTER-LINK
carrier 0; echo CARRIER-LOST
carrier 1; echo CARRIER-FOUND
page && echo PAGE-AFTER-REPAIR
GUEST
    )
    truncate -s 4k "$T/flag"
    passt_world
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on" \
        --net user --crash-limit 5 --crash-window 600 --event-monitor "path=$T/events"
    await "$T/log" '^LOADED'
    for i in 1 2; do
        pid=$(pid_of vm net0-passt)
        sleep 0.$((3 * i)) # somewhere in a frame
        kill -KILL "$pid" && other_pid vm net0-passt "$pid"
        await "$T/events" "restarted"
    done
    printf go1 | dd of="$T/flag" conv=notrunc 2>/dev/null
    await "$T/log" '^PAGE-AGAIN'
    expect "$T/log" '^DOWNS 0'
    pid=$(pid_of vm net0-passt)
    "$BIN/../tests/garble" "$pid" 3 || die "nothing was written into passt's stream"
    other_pid vm net0-passt "$pid"
    await "$T/events" '"passt_died".*its stream is of no more use'
    printf go2 | dd of="$T/flag" conv=notrunc 2>/dev/null
    await "$T/log" '^PAGE-AFTER-NONSENSE'
    "$BIN/bulkhead" set vm net0 link=down || die "the link can't be set"
    await "$T/log" '^CARRIER-DOWN'
    pid=$(pid_of vm net0)
    kill -KILL "$pid" && other_pid vm net0 "$pid"
    for ((i = 0; i < 100; i++)); do "$BIN/bulkhead" ps vm | grep 'net0 .* running ' >/dev/null && break; sleep "$POLL"; done
    expect_not "$T/log" '^CARRIER-UP'
    "$BIN/bulkhead" set vm net0 link=up || die "the link can't be set"
    await "$T/log" '^PAGE-AFTER-LINK'
    for i in 4 5; do
        pid=$(pid_of vm net0-passt)
        kill -KILL "$pid"
        [ $i = 5 ] || other_pid vm net0-passt "$pid"
    done
    await "$T/log" '^CARRIER-LOST'
    expect "$T/events" passt_failed
    "$BIN/bulkhead" repair vm net0 || die "passt can't be started again"
    await "$T/log" '^CARRIER-FOUND'
    wait "$GUEST_PID"
    status=$?
    expect_status 0 $status "$T/log"
    expect "$T/log" '^PAGE-AFTER-REPAIR'
}

# A place on a physical network, here one end of a cable: by name, and as an open descriptor.
case_net_macvtap()
{
    local cmd i status
    cmd=$(script <<'GUEST'
/tests/net eth0 192.168.245.2/24 - 192.168.245.1 || exit 1
ip link set eth0 down
/tests/net eth1 192.168.245.3/24 - 192.168.245.1 || exit 2
echo HOLDING; await_go /dev/vda
GUEST
    )
    ip link add bhcable type veth peer name bhfar && ip addr add 192.168.245.1/24 dev bhfar && ip link set bhfar up &&
        ip link set bhcable up || die "no veth"
    for i in 1 2; do
        ip link add link bhcable name "bhmv$i" address "52:54:00:00:00:0$i" type macvtap mode bridge &&
            ip link set "bhmv$i" up || { ip link del bhcable; die "no macvtap"; }
    done
    truncate -s 4k "$T/flag"
    exec 7<>"/dev/tap$(cat /sys/class/net/bhmv2/ifindex)" || die "no macvtap device"
    guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --net macvtap,tap=bhmv1,mac=52:54:00:00:00:01,num_queues=4 \
        --net fd=7,mac=52:54:00:00:00:02 --disk "path=$T/flag,readonly=on"
    exec 7>&-
    await "$T/log" '^HOLDING'
    NAME=second guest "$T/second" - --memory size=64M --net macvtap,tap=bhmv1,mac=52:54:00:00:00:01
    expect_status 2 $? "$T/second"
    expect "$T/second.err" 'net0: bhmv1 is in use by another VM'
    say_go "$T/flag"
    wait "$GUEST_PID"
    status=$?
    ip link show bhmv1 >/dev/null || die "the macvtap is gone: it was not ours"
    ip link del bhcable
    expect_status 0 $status "$T/log"
    [ "$(grep -c 'ok: 192.168.245.1 answers' "$T/log")" = 2 ] || { show "$T/log"; die "no answer"; }
}

# A tap that is deleted and made again, and a macvtap that goes down and loses its lower device: the guest
# sees its cable pulled and put in, and the broker, in its sandbox, says so once.
case_net_interfaces_go_and_come()
{
    local cmd status
    cmd=$(script <<'GUEST'
carrier() { until [ "$(cat "/sys/class/net/$1/carrier")" = "$2" ]; do sleep 0.1; done; echo "$3"; }
ip link set eth0 up && ip link set eth1 up || exit 1
carrier eth0 1 - && carrier eth1 1 BOTH-UP
carrier eth0 0 TAP-LOST
carrier eth0 1 TAP-FOUND
/tests/net eth0 192.168.244.2/24 - 192.168.244.1 || exit 2
carrier eth1 0 MACVTAP-DOWN
carrier eth1 1 MACVTAP-UP
carrier eth1 0 MACVTAP-GONE
GUEST
    )
    ip tuntap add bhgo mode tap && ip link set bhgo up || die "no tap"
    trap 'ip link del bhgo; ip link del bhcable 2>/dev/null' EXIT # of this case
    ip link add bhcable type veth peer name bhfar && ip link set bhfar up && ip link set bhcable up &&
        ip link add link bhcable name bhmv address 52:54:00:00:00:01 type macvtap mode bridge && ip link set bhmv up || die "no macvtap"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --net tap=bhgo \
        --net macvtap,tap=bhmv,mac=52:54:00:00:00:01 --event-monitor "path=$T/events"
    await "$T/log" '^BOTH-UP'
    ip link del bhgo
    await "$T/log" '^TAP-LOST'
    ! "$BIN/bulkhead" repair vm net0 2>"$T/refused" || die "repaired without an interface"
    expect "$T/refused" 'there is no interface bhgo: make it first'
    ip tuntap add bhgo mode tap && ip addr add 192.168.244.1/24 dev bhgo && ip link set bhgo up
    "$BIN/bulkhead" repair vm net0 || die "the tap can't be had again"
    await "$T/log" 'ok: 192.168.244.1 answers'
    ip link set bhmv down
    await "$T/log" '^MACVTAP-DOWN'
    ip link set bhmv up
    await "$T/log" '^MACVTAP-UP'
    ip link del bhcable
    wait "$GUEST_PID"
    status=$?
    expect_status 0 $status "$T/log"
    expect "$T/log" '^MACVTAP-GONE'
    expect "$T/events" '"link_lost".*net0.*interface is gone'
    expect "$T/events" '"link_back".*net0'
    [ "$(grep -c 'link_lost.*net0' "$T/events")" = 1 ] || { show "$T/events"; die "told more than once"; }
}

# Killed under traffic: the link goes on.
case_net_worker_killed()
{
    local cmd pid
    cmd=$(script <<'GUEST'
/tests/net eth0 192.168.247.2/24 - 192.168.247.1 || exit 1
until said go /dev/vda; do ping -c 1 -W 1 192.168.247.1 >/dev/null && echo "answer"; sleep 0.2; done
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --net tap=bh2,ip=192.168.247.1,mask=255.255.255.0 \
        --disk "path=$T/flag,readonly=on"
    await "$T/log" '^answer'
    for _ in 1 2 3; do
        pid=$(pid_of vm net0)
        kill -KILL "$pid" && other_pid vm net0 "$pid"
        await_count "$T/log" '^answer' $(($(grep -c '^answer' "$T/log") + 4))
    done
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
}

case_vsock_both_ways()
{
    local cmd
    cmd=$(script <<'GUEST'
modprobe vmw_vsock_virtio_transport || exit 1
socat -u SYSTEM:'echo hello from the guest' VSOCK-CONNECT:2:1234 || exit 2
echo LISTENING
socat -T 30 VSOCK-LISTEN:77 SYSTEM:'read line; echo "guest got $line"'
GUEST
    )
    timeout 200 socat -u "UNIX-LISTEN:$T/vs_1234" "CREATE:$T/from-guest" &
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vda" --memory size=256M \
        --disk "path=$GUEST/disk.ext4,readonly=on" --vsock "cid=42,socket=$T/vs"
    await "$T/log" '^LISTENING'
    for _ in $(seq 30); do # until it does listen
        (echo 'CONNECT 77'; sleep 1; echo hello-guest; for _ in $(seq 300); do grep -q 'guest got' "$T/answer" && break; sleep 0.2; done) |
            timeout 200 socat - "UNIX-CONNECT:$T/vs" >"$T/answer"
        ! grep -q '^OK' "$T/answer" || break
    done
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/from-guest" 'hello from the guest'
    expect "$T/answer" '^OK '
    expect "$T/answer" 'guest got hello-guest'
}

# The worker dies: open connections end on both sides, as a reset of the transport says; new ones work.
case_vsock_worker_killed()
{
    local cmd pid
    cmd=$(script <<'GUEST'
modprobe vmw_vsock_virtio_transport || exit 1
echo OPENING
socat -u VSOCK-CONNECT:2:1236 STDOUT; echo CLOSED
for i in $(seq 30); do socat -u SYSTEM:'echo after the reset' VSOCK-CONNECT:2:1237 && break; sleep 1; done
GUEST
    )
    (timeout 200 socat "UNIX-LISTEN:$T/vs_1236" SYSTEM:'echo CONNECTED; cat >/dev/null'; : >"$T/host-closed") &
    timeout 200 socat -u "UNIX-LISTEN:$T/vs_1237" "CREATE:$T/after" &
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vda" --memory size=256M \
        --disk "path=$GUEST/disk.ext4,readonly=on" --vsock "cid=42,socket=$T/vs"
    await "$T/log" '^CONNECTED'
    pid=$(pid_of vm vsock0)
    kill -KILL "$pid" || die "no vsock process"
    await "$T/log" '^CLOSED'
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    [ -e "$T/host-closed" ] || die "the host's side is still open"
    expect "$T/after" 'after the reset'
}

# ram_kib CORE_PID: guest RAM that exists on the host.
ram_kib() { awk '/memfd:guest-ram/ { ram = 1 } /^[0-9a-f]+-/ && !/memfd:guest-ram/ { ram = 0 } /^Rss:/ && ram { sum += $2 } END { print sum + 0 }' "/proc/$1/smaps"; }

# await_ram CORE_PID LIMIT_KIB: waits until less than that is left; prints what is.
await_ram()
{
    local i now=0
    for ((i = 0; i < 300; i++)); do
        now=$(ram_kib "$1")
        [ "$now" -lt "$2" ] && break
        sleep "$POLL"
    done
    echo "$now"
}

# figure VM DEVICE KEY: a number of that device from `bulkhead top --json`.
figure() { "$BIN/bulkhead" top "$1" --json | tr '{' '\n' | grep -A 1 "\"name\": *\"$2\".*latency" | sed -n "s/.*\"$3\": *\([0-9]*\).*/\1/p" | sed -n 1p; }

# What the balloon takes from the guest the host gets back; a guest that needs more than is left
# takes it out of the balloon, and nobody is killed for it.
case_balloon_gives_memory_back()
{
    local cmd before after core left
    cmd=$(script <<GUEST
mount -t tmpfs -o size=90% tmpfs /mnt
dd if=/dev/zero of=/mnt/fill bs=1M count=220 2>/dev/null; rm /mnt/fill
echo FILLED; await_go /dev/vda
free=\$(awk '/^MemFree/ { print int(\$2 / 1024) }' /proc/meminfo)
echo "free: \$free MiB"
dd if=/dev/zero of=/mnt/more bs=1M count=\$((free + 40)) 2>/dev/null && echo TAKEN
while :; do sleep 1; done
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=384M --balloon size=0,deflate_on_oom=on \
        --disk "path=$T/flag,readonly=on"
    await "$T/log" '^FILLED'
    core=$(pid_of vm core)
    before=$(ram_kib "$core")
    "$BIN/bulkhead" set vm balloon size=192M || die "the balloon can't be set"
    after=$(await_ram "$core" $((before - 150000)))
    note "guest RAM on the host: $before KiB, with a balloon of 192 MiB $after KiB"
    [ $((before - after)) -gt 150000 ] || die "the host got too little back"
    for _ in $(seq 100); do [ "$(figure vm balloon balloon_bytes)" = $((192 << 20)) ] && break; sleep "$POLL"; done
    [ "$(figure vm balloon balloon_bytes)" = $((192 << 20)) ] || die "top says: balloon of $(figure vm balloon balloon_bytes)"
    left=$(figure vm balloon total)
    [ "${left:-0}" -gt $((100 << 20)) ] && [ "$left" -lt $((384 << 20)) ] || die "the guest's memory: '$left' bytes"
    say_go "$T/flag"
    await "$T/log" '^TAKEN' 180
    for _ in $(seq 100); do [ "$(figure vm balloon balloon_bytes)" -lt $((180 << 20)) ] && break; sleep "$POLL"; done
    after=$(figure vm balloon balloon_bytes)
    note "the guest was short of memory: the balloon has $((after >> 20)) MiB"
    [ "$after" -lt $((180 << 20)) ] || die "the balloon was not deflated"
    expect_not "$T/log" 'Out of memory'
    "$BIN/bulkhead" stop vm
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}

# Without any balloon: the guest tells which pages are free, and they go.
case_balloon_free_page_reporting()
{
    local cmd before after core
    cmd=$(script <<GUEST
mount -t tmpfs -o size=90% tmpfs /mnt
dd if=/dev/zero of=/mnt/fill bs=1M count=220 2>/dev/null
echo FILLED; await_go /dev/vda
rm /mnt/fill
while :; do sleep 1; done
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=384M --disk "path=$T/flag,readonly=on" \
        --balloon size=0,free_page_reporting=on
    await "$T/log" '^FILLED'
    core=$(pid_of vm core)
    before=$(ram_kib "$core")
    say_go "$T/flag"
    after=$(await_ram "$core" $((before - 190000)))
    note "guest RAM on the host: $before KiB, after the guest freed 220 MiB $after KiB"
    [ $((before - after)) -gt 190000 ] || die "the host got too little back"
    [ "$(figure vm balloon balloon_bytes)" = 0 ] || die "a balloon was inflated"
    "$BIN/bulkhead" stop vm
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}

# in_three_attempts FUNCTION: a host that is busy with something else gives a guest no time to use up its
# limit. Only that is tried again: the figure, status 3.
in_three_attempts()
{
    local attempt status
    for attempt in 1 2 3; do
        ("$1")
        status=$?
        [ $status = 3 ] || return $status
        note "attempt $attempt gave another figure"
    done
    return 1
}

# limit_kept WHAT WANT LOG STAGE KIND NAME...: within 5 %; operations/s (ops) or KiB/s (kib) of those disks
# or interfaces together, between the two lines "AT SECONDS NAME OPERATIONS SECTORS" of each.
limit_kept()
{
    local what=$1 want=$2 log=$3 stage=$4 kind=$5 got
    shift 5
    got=$(tr -d '\r' <"$log" | awk -v stage="$stage" -v kind="$kind" -v names=" $* " '
        $1 == "STAGE" { at = $2 }
        $1 == "AT" && at == stage && index(names, " " $3 " ") {
            count = kind == "ops" ? $4 : $5 / 2
            if ($3 in first) rate += (count - first[$3]) / ($2 - since[$3])
            first[$3] = count; since[$3] = $2
        }
        END { printf "%.1f", rate }')
    note "$what: $want asked for, $got measured"
    awk -v want="$want" -v got="$got" 'BEGIN { exit !(got >= want * 0.95 && got <= want * 1.05) }' ||
        { note "the limit is not kept: $what"; exit 3; }
}

# What the guest measures is what was asked for: bytes, operations, two disks that share; then other
# limits at run time. The buckets are used up before the guest's kernel is asked for its counts; not
# fio, which on a busy processor counts for longer than it says. So few that an emulated one keeps up.
case_disk_rate_limit() { in_three_attempts disk_rate_limit; }
disk_rate_limit()
{
    local cmd stage
    cmd=$(script <<GUEST
sample() {
    for disk in vda vdb vdc vdd; do
        read -r reads _ sectors _ </sys/block/\$disk/stat; read -r seconds _ </proc/uptime
        echo "AT \$seconds \$disk \$reads \$sectors"
    done
}
measure() {
    read -r before _ </sys/block/vdd/stat
    fio --rw=read --bs=64k --direct=1 --ioengine=libaio --iodepth=4 --time_based --runtime=120 \\
        --name=bw --filename=/dev/vda --name=ops --bs=4k --filename=/dev/vdb \\
        --name=g1 --filename=/dev/vdc --name=g2 --filename=/dev/vdd >/dev/null &
    until read -r now _ </sys/block/vdd/stat; [ \$now -gt \$((before + 25)) ]; do sleep 0.2; done
    sleep 4; sample; sleep 12; sample; kill \$!; wait
}
echo STAGE 1; measure; echo STAGE 2
await_go /dev/vdf
measure; echo STAGE 3
GUEST
    )
    truncate -s 64M "$T"/disk{1,2,3,4}; truncate -s 0 "$T/flag"; truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vde" --memory size=256M --cpus boot=2 \
        --rate-limit-group id=shared,bw_size=1M,bw_refill_time=1000 \
        --disk "path=$T/disk1,bw_size=1M,bw_refill_time=1000" "path=$T/disk2,ops_size=30,ops_refill_time=1000" \
        "path=$T/disk3,rate_limit_group=shared" "path=$T/disk4,rate_limit_group=shared" \
        "path=$GUEST/disk.ext4,readonly=on" "path=$T/flag,readonly=on"
    await "$T/log" '^STAGE 2' 240
    ! "$BIN/bulkhead" set vm disk2 unlimited 2>"$T/refused" || die "a disk leaves its group"
    expect "$T/refused" 'shares the limit of group shared'
    "$BIN/bulkhead" set vm disk0 bw_size=256K,bw_refill_time=500 || die "disk0 can't be set"
    "$BIN/bulkhead" set vm disk1 ops_size=10,ops_refill_time=500 || die "disk1 can't be set"
    "$BIN/bulkhead" set vm shared bw_size=2M,bw_refill_time=1000 || die "the group can't be set"
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    limit_kept "bandwidth, KiB/s" 1024 "$T/log" 1 kib vda
    limit_kept "operations/s" 30 "$T/log" 1 ops vdb
    limit_kept "bandwidth of a group, KiB/s" 1024 "$T/log" 1 kib vdc vdd
    limit_kept "bandwidth set at run time, KiB/s" 512 "$T/log" 2 kib vda
    limit_kept "operations/s set at run time" 20 "$T/log" 2 ops vdb
    limit_kept "bandwidth of a group set at run time, KiB/s" 2048 "$T/log" 2 kib vdc vdd
}
