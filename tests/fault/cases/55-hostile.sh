# shellcheck shell=bash
# Workers that were taken over (tests/hostile) in a running VM: upgraded to, then replaced again and
# again while they try everything, as the guest does verified I/O on a disk of an honest worker.
# Short: each of four devices tries one in sixteen of the actions, others each time; BULKHEAD_LONG=1: all of them.

# shellcheck source=tests/hostile/table.sh
. "$ROOT/tests/hostile/table.sh"
HOSTILE_PROGRAMS=$BIN/../tests/hostile-bin
declare -A PROGRAM=([rng]=rng [disk1]=blk [console]=console [net0]=net [vsock0]=vsock [balloon]=balloon)

# hostile_vm DEVICE...: the VM, with those devices' workers hostile from here on.
hostile_vm()
{
    local device at i=$RANDOM of=16
    [ -z "${BULKHEAD_LONG:-}" ] || of=1
    [ -x "$HOSTILE_PROGRAMS/bulkhead-dev-rng" ] || { echo "an instrumented build has no hostile workers"; exit 77; }
    truncate -s 64M "$T/disk"
    truncate -s 16M "$T/disk1"
    truncate -s 1M "$T/end"
    NAME=vm GUEST_TIMEOUT=3000 guest_start "$T/log" "bh.cmd=$(base64 -w0 <<'GUEST'
while ! dd if=/dev/vdc bs=512 count=1 iflag=direct 2>/dev/null | grep END >/dev/null; do
    bhio stress /dev/vda 10 1 | tail -1
done
GUEST
    )" --memory size=256M --disk "path=$T/disk" "path=$T/disk1" "path=$T/end" \
        --net tap=bhh,ip=192.168.247.1,mask=255.255.255.0 --console "file=$T/hvc" \
        --vsock "cid=3,socket=$T/vsock" --balloon size=0 --crash-limit 1024 --crash-window 1
    await "$T/log" 'IOSTRESS'
    for device in "$@"; do
        at=$T/hostile-$device
        cp "$HOSTILE_PROGRAMS/bulkhead-dev-${PROGRAM[$device]}" "$at"
        give_orders "$at" "/share-$((i % of))-of-$of/"
        "$BIN/bulkhead" upgrade vm "$device" --binary "$at" ||
            die "$device did not take its hostile build"
        i=$((i + 1))
    done
}

case_hostile_workers_achieve_nothing()
{
    local device lie devices=(rng disk1 console net0)
    [ -z "${BULKHEAD_LONG:-}" ] || devices+=(vsock0 balloon)
    hostile_vm "${devices[@]}"
    for device in "${devices[@]}"; do
        await "$T/log.err" "$device: hostile: all [0-9]+ tried" "${HOSTILE_PATIENCE:-600}"
    done
    for device in "${devices[@]}"; do
        "$BIN/bulkhead" upgrade vm "$device" || die "$device can't be brought back"
    done
    for lie in role no-role newer older garbage ready fds leave silence; do
        cp "$HOSTILE_PROGRAMS/bulkhead-dev-rng" "$T/hello-$lie"
        give_orders "$T/hello-$lie" "/hello-$lie"
        if "$BIN/bulkhead" upgrade vm rng --binary "$T/hello-$lie" 2>"$T/why"; then
            die "hello-$lie was taken"
        fi
        [ "$(wc -l <"$T/why")" = 1 ] || { show "$T/why"; die "not one line about hello-$lie"; }
    done
    no_drift vm
    printf END | dd of="$T/end" conv=notrunc 2>/dev/null
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    hostile_table "$T/log.err" "${devices[@]}" >"$T/table" || { show "$T/table"; die "not all was refused"; }
    SHOW=20 show "$T/table"
    [ "$(grep -c 'IOSTRESS' "$T/log")" = "$(grep -c 'IOSTRESS.*verify_errors=0 io_errors=0' "$T/log")" ] ||
        { show "$T/log"; die "the honest disk suffered"; }
    expect_not "$T/log" 'vda.*(I/O error|critical|timed out)'
}
