# shellcheck shell=bash
# SIGKILL for the workers of a busy VM, one after the other, at random moments: KILLS of them (28;
# 1000 in the long form), the disk's most often.

# What the guest does all the while, each round judged by the tool that does it: fio verifies every
# block it reads back; iperf3's one connection lives through it all; the entropy must come;
# numbered lines go out on both consoles; a file comes over vsock, whose connections may break.
busy_guest()
{
    cat <<'GUEST'
modprobe vmw_vsock_virtio_transport
/tests/net eth0 192.168.246.2/24 - 192.168.246.1 || exit 1
over() { said go /dev/vdc; }
disk() {
    until over; do
        fio --name=v --filename=/dev/vdb --direct=1 --rw=randrw --bs=4k-32k --ioengine=libaio --iodepth=16 \
            --size=16M --verify=crc32c --verify_backlog=64 --verify_fatal=1 --io_size=12M >/tmp/fio 2>&1 ||
            { echo "DISK-FAILED"; cat /tmp/fio; }
        echo fio >>/tmp/rounds
    done
}
net() { iperf3 -c 192.168.246.1 -p 5297 -t 9000 -b 4M -i 0 >/tmp/iperf 2>&1; over || echo "NET-FAILED $(tail -2 /tmp/iperf)"; }
entropy() {
    until over; do
        [ "$(head -c 4096 /dev/hwrng | wc -c)" = 4096 ] || echo "ENTROPY-FAILED"
        echo rng >>/tmp/rounds
        sleep 0.2
    done
}
lines() { n=0; until over; do n=$((n + 1)); echo "line $n of hvc0" >/dev/hvc0; echo "line $n of ttyS0"; sleep 0.1; done; echo "last line" >/dev/hvc0; }
stream() {
    until over; do
        timeout 60 socat -u VSOCK-CONNECT:2:1234 CREATE:/tmp/got 2>/dev/null &&
            [ "$(md5sum </tmp/got)" = "$(md5sum </tmp/want)" ] && echo vsock >>/tmp/rounds
        sleep 0.2
    done
}
socat -u VSOCK-CONNECT:2:1234 CREATE:/tmp/want || exit 2
echo BUSY
disk & disk=$!; entropy & e=$!; lines & l=$!; stream & s=$!; net & n=$!
wait $disk; wait $e; wait $l; wait $s
kill -INT $(pidof iperf3) 2>/dev/null
for i in 1 2 3; do ping -c 1 -W 5 192.168.246.1 >/dev/null && break; done && echo "NET-WORKS"
timeout 60 socat -u VSOCK-CONNECT:2:1234 CREATE:/tmp/got && cmp /tmp/got /tmp/want && echo "VSOCK-WORKS"
echo "ROUNDS $(sort /tmp/rounds | uniq -c | tr -s '\n ' ' ')"
dmesg | grep -E 'I/O error|needs reset|(virtio|blk|vd[a-f]).*timed out|hung task|virtio.*(fail|reset)' | sed 's/^/KERNEL /'
echo "ALL-DONE"
GUEST
}

# busy_vm SECONDS: the VM of that guest; $server and $stream are what it talks to.
busy_vm()
{
    # Too long for a kernel's command line: it comes on a disk.
    local start='wait_for /dev/vdd; tr -d "\0" </dev/vdd >/run/busy; . /run/busy' device
    truncate -s 16M "$T/disk"
    truncate -s 4k "$T/flag"
    busy_guest >"$T/script"
    truncate -s 16k "$T/script"
    head -c 100000 /dev/urandom >"$T/file"
    iperf3 -s -p 5297 >/dev/null 2>&1 &
    server=$!
    socat -U "UNIX-LISTEN:$T/vs_1234,fork" "OPEN:$T/file" 2>/dev/null &
    stream=$!
    NAME=vm GUEST_TIMEOUT=$1 guest_start "$T/log" "bh.cmd=$(base64 -w0 <<<"$start") bh.tools=/dev/vda" --cpus boot=1 \
        --memory size=512M --disk "path=$GUEST/disk.ext4,readonly=on" "path=$T/disk" "path=$T/flag,readonly=on" "path=$T/script,readonly=on" \
        --net tap=bh6,ip=192.168.246.1,mask=255.255.255.0 --vsock "cid=46,socket=$T/vs" --balloon size=0 \
        --console "file=$T/console" --crash-limit 1000 --crash-window 5 --json
    await "$T/log" '^BUSY' 240
    for device in disk1 disk2 net0 vsock0 rng console serial balloon; do pid[$device]=$(pid_of vm "$device"); done
}

# The guest's own verdict, when the host has done what it wanted.
busy_vm_unharmed()
{
    local status i
    say_go "$T/flag"
    wait "$GUEST_PID"
    status=$?
    kill "$server" "$stream" 2>/dev/null; wait "$server" "$stream" 2>/dev/null
    expect_status 0 $status "$T/log"
    tr -d '\r' <"$T/log" >"$T/text"
    expect_not "$T/text" 'FAILED|^KERNEL|I/O error|needs reset'
    for i in ALL-DONE NET-WORKS VSOCK-WORKS; do expect "$T/text" "^$i"; done
    expect "$T/console" '^last line'
    expect "$T/text" '^ROUNDS.* fio .* rng .* vsock'
    note "$(grep ^ROUNDS "$T/text")"
}

case_every_worker_killed_while_busy()
{
    local kills=${KILLS:-28} i server stream device
    local -A pid
    local devices=(disk1 net0 disk1 vsock0 disk1 rng disk1 console disk1 serial disk1 balloon disk1 disk2)
    [ -z "${BULKHEAD_LONG:-}" ] || kills=${KILLS:-1000}
    busy_vm $((300 + kills * 3))
    for ((i = 0; i < kills; i++)); do
        device=${devices[i % ${#devices[@]}]}
        kill_worker "$device"
        [ "$device" != balloon ] || "$BIN/bulkhead" set vm balloon size=$((i % 2 * 64))M || die "the balloon can't be set"
        sleep "0.0$((RANDOM % 10))"
    done
    note "$i kills"
    busy_vm_unharmed
}

# Each hangs, as a process that was stopped does, and is replaced; then each is upgraded, twice.
case_every_worker_hangs_and_is_upgraded_while_busy()
{
    local server stream device
    local -A pid
    busy_vm 600
    for device in net0 vsock0 balloon disk1 rng console serial; do kill_worker "$device" STOP; done
    for device in net0 vsock0 balloon disk1 rng console serial; do
        "$BIN/bulkhead" upgrade vm "$device" || die "upgrade of $device failed"
    done
    "$BIN/bulkhead" upgrade vm || die "upgrade of all devices failed"
    busy_vm_unharmed
}
