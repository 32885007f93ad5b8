# shellcheck shell=bash
# What a guest does while no broker is there, as seen from its devices: 54-broker.sh has the broker's side.

# Each change of a MAC is a message that nobody reads: far more than a socket holds, which is 277 of this size. The
# guest's I/O goes on. A change takes some 0.1 s where the processor is emulated, and twice that if others are busy
# too: each fifty of them have their own time.
case_full_sockets_hold_up_no_device()
{
    local cmd net i
    cmd=$(base64 -w0 <<'GUEST'
echo WAITING
await_go /dev/vdb
i=0
while [ $((i += 1)) -le 350 ]; do
    ip link set eth0 address "$(printf '52:54:00:00:%02x:%02x' $((i / 256)) $((i % 256)))" || echo NO-MAC
    [ $((i % 50)) != 0 ] || { dd if=/dev/zero of=/dev/vdc bs=4k count=4 conv=fsync 2>/dev/null && echo "changed $i"; }
done
GUEST
    )
    truncate -s 4k "$T/flag"
    truncate -s 1M "$T/disk"
    NAME=vm GUEST_TIMEOUT=1200 guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vda" --memory size=256M --net tap=bh0 \
        --disk "path=$GUEST/disk.ext4,readonly=on" "path=$T/flag,readonly=on" "path=$T/disk" --json
    await "$T/log" '^WAITING'
    net=$(pid_of vm net0)
    kill_broker_only
    say_go "$T/flag"
    for ((i = 50; i <= 350; i += 50)); do await "$T/log" "^changed $i"; done
    broker_back
    (await "$T/log.out" '"event":"adopted"') || { show "$T/log.err"; die "no broker took over"; }
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect_not "$T/log" 'NO-MAC'
    [ -n "$net" ] || die "there was no network device"
    ! grep '"event":"restarted"' "$T/log.out" >&2 || { show "$T/log.err"; die "a worker was replaced"; }
}

# A shutdown resets the devices, which needs a broker: it comes to its end when there is one.
case_guest_ends_while_the_broker_is_away()
{
    local cmd
    cmd=$(echo 'echo WAITING; await_go /dev/vda; echo BYE' | base64 -w0)
    truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on"
    await "$T/log" '^WAITING'
    kill_broker_only
    say_go "$T/flag"
    await "$T/log" '^BYE'
    sleep 3
    broker_back
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    settled || die "orphans"
}

case_guest_reboots_while_the_broker_is_away()
{
    local cmd
    cmd=$(base64 -w0 <<'GUEST'
said go /dev/vda && { echo SECOND-BOOT; exit 0; }
echo WAITING
await_go /dev/vda
echo REBOOTING
reboot -f
GUEST
    )
    truncate -s 4k "$T/flag"
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/flag,readonly=on"
    await "$T/log" '^WAITING'
    kill_broker_only
    say_go "$T/flag"
    await "$T/log" '^REBOOTING'
    sleep 2
    broker_back
    await "$T/log" '^SECOND-BOOT'
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    settled || die "orphans"
}

case_core_dies_while_the_broker_is_away()
{
    local core
    stress_guest --json
    core=$(pid_of vm core)
    kill_broker_only
    kill -KILL "$core" || die "no core"
    sleep 1
    broker_back
    wait "$GUEST_PID"
    expect_status 1 $? "$T/log"
    expect "$T/log.err" core
    settled || die "orphans"
}

# A console's client stays connected when broker and worker die, in either order and together.
case_console_client_outlives_the_broker()
{
    local cmd serial client in
    cmd=$(echo 'echo WAITING; while read -r line; do echo "got=$line"; [ "$line" != quit ] || break; done </dev/ttyS0' | base64 -w0)
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd" --memory size=256M --serial "socket=$T/sock" --json
    for _ in $(seq 300); do [ -S "$T/sock" ] && break; sleep 0.1; done
    mkfifo "$T/in"
    exec {in}<>"$T/in"
    socat - "UNIX-CONNECT:$T/sock" <&"$in" >"$T/seen" &
    client=$!
    await "$T/seen" 'WAITING'
    echo one >&"$in"
    await "$T/seen" 'got=one'
    serial=$(pid_of vm serial)
    kill_broker_only
    kill -KILL "$serial" || die "no serial worker"
    echo two >&"$in"
    broker_back
    await "$T/seen" 'got=two'
    kill_broker
    serial=$(pid_of vm serial)
    kill -KILL "$serial" || die "no serial worker"
    echo three >&"$in"
    await "$T/seen" 'got=three'
    kill -0 "$client" || die "the client was cut off"
    echo quit >&"$in"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    wait "$client"
    exec {in}<&-
}

# The broker opens the host's end of a vsock connection: the guest is kept waiting, and is not refused.
case_vsock_asked_while_the_broker_is_away()
{
    local cmd
    cmd=$(base64 -w0 <<'GUEST'
modprobe vmw_vsock_virtio_transport || exit 1
echo WAITING
await_go /dev/vdb
echo asked meanwhile >/tmp/word
(usleep 300000; echo ASKING) &
socat -u STDIN VSOCK-CONNECT:2:1234 </tmp/word || exit 2
GUEST
    )
    truncate -s 4k "$T/flag"
    timeout 200 socat -u "UNIX-LISTEN:$T/vs_1234" "CREATE:$T/from-guest" &
    NAME=vm guest_start "$T/log" "bh.cmd=$cmd bh.tools=/dev/vda" --memory size=256M \
        --disk "path=$GUEST/disk.ext4,readonly=on" "path=$T/flag,readonly=on" --vsock "cid=42,socket=$T/vs" --json
    await "$T/log" '^WAITING'
    kill_broker_only
    say_go "$T/flag"
    await "$T/log" '^ASKING'
    broker_back
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/from-guest" 'asked meanwhile'
}
