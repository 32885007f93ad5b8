# shellcheck shell=bash
# Networks as an unmodified guest sees them, where that takes minutes; worker_net_test tries a limit in a moment.

# Each direction has the limit to itself: bytes on one device, frames on the other; then other limits at
# run time. More is offered than may pass, yet so little that an emulated processor keeps up. What came,
# the guest's kernel says; what it sent the host's, for the guest learns that late and many at once. A
# server is busy for a while after its client was killed, so each flood has its own.
case_net_rate_limit() { in_three_attempts net_rate_limit; }
net_rate_limit()
{
    local cmd port servers=() stage status
    sample() { # TAP|NIC...
        local nic frames bytes seconds
        for nic in "$@"; do
            read -r frames <"/sys/class/net/$nic/statistics/rx_packets"
            read -r bytes <"/sys/class/net/$nic/statistics/rx_bytes"
            read -r seconds _ </proc/uptime
            echo "AT $seconds $nic $frames $((bytes / 512))"
        done
    }
    cmd=$(script <<GUEST
/tests/net eth0 192.168.246.2/24 - 192.168.246.1 || exit 1
/tests/net eth1 192.168.245.2/24 - 192.168.245.1 || exit 1
$(declare -f sample)
flood() { # PORT SECONDS [-R]
    iperf3 -c 192.168.246.1 -p \$1 -u \$3 -b 1200K -l 1400 -t 300 >/dev/null 2>&1 & by_bytes=\$!
    iperf3 -c 192.168.245.1 -p \$((\$1 + 1)) -u \$3 -b 480K -l 500 -t 300 >/dev/null 2>&1 & by_frames=\$!
    sleep 5; echo FLOOD \$stage; sample eth0 eth1; sleep \$2; sample eth0 eth1
    kill \$by_bytes \$by_frames; wait; sleep 1
}
for stage in 1 2; do
    flood 52\${stage}0 16; echo STAGE \$stage; flood 53\${stage}0 15 -R; echo STAGE \$stage-DONE
    [ \$stage = 2 ] || await_go /dev/vdb
done
GUEST
    )
    truncate -s 0 "$T/flag" "$T/taps"
    truncate -s 4k "$T/flag"
    for port in 5{2,3}{1,2}{0,1}; do
        iperf3 -s -p $port >/dev/null 2>&1 &
        servers+=($!)
    done
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vda" --memory size=256M --cpus boot=2 \
        --disk "path=$GUEST/disk.ext4,readonly=on" "path=$T/flag,readonly=on" \
        --net tap=bh3,ip=192.168.246.1,mask=255.255.255.0,bw_size=16K,bw_refill_time=250 \
        tap=bh4,ip=192.168.245.1,mask=255.255.255.0,ops_size=10,ops_refill_time=250
    for stage in 1 2; do
        await "$T/log" "^FLOOD $stage" 240
        for port in bh3 bh4; do ip link set $port txqueuelen 20; done # or half a minute of frames wait there
        { echo "STAGE $stage"; sample bh3 bh4; sleep 12; sample bh3 bh4; } >>"$T/taps"
        [ $stage = 1 ] || break
        await "$T/log" '^STAGE 1-DONE' 240
        "$BIN/bulkhead" set vm net0 bw_size=16K,bw_refill_time=500 || die "net0 can't be set"
        "$BIN/bulkhead" set vm net1 ops_size=10,ops_refill_time=500 || die "net1 can't be set"
        say_go "$T/flag"
    done
    wait "$GUEST_PID"
    status=$?
    kill "${servers[@]}"; wait "${servers[@]}" 2>/dev/null
    expect_status 0 $status "$T/log"
    limit_kept "to the host, KiB/s" 64 "$T/taps" 1 kib bh3
    limit_kept "to the guest, KiB/s" 64 "$T/log" 1 kib eth0
    limit_kept "to the host, frames/s" 40 "$T/taps" 1 ops bh4
    limit_kept "to the guest, frames/s" 40 "$T/log" 1 ops eth1
    limit_kept "to the host, set at run time, KiB/s" 32 "$T/taps" 2 kib bh3
    limit_kept "to the guest, set at run time, KiB/s" 32 "$T/log" 2 kib eth0
    limit_kept "to the host, set at run time, frames/s" 20 "$T/taps" 2 ops bh4
    limit_kept "to the guest, set at run time, frames/s" 20 "$T/log" 2 ops eth1
}
