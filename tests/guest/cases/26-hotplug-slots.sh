# shellcheck shell=bash
# Slots as Linux sees them: filled again after a device was taken away, ejected by a guest that nobody asked,
# found at the next boot.

SLOTS_WATCH='
t() { i=0; while [ $i -lt 600 ] && ! eval "$1"; do usleep 100000; i=$((i + 1)); done
    eval "$1" && echo "SLOT $2" || { echo "SLOT not $2"; dmesg | tail -20; }; }
r() { dd if=/dev/vdb of=/dev/null bs=1M count=1 iflag=direct 2>/dev/null && echo "READ $1"; }
here() { [ -b /dev/vdb ]; }
if [ "$(head -c 5 /dev/vda)" = again ]; then t here rebooted; r rebooted; exit 0; fi
echo "SLOTS $(ls /sys/bus/pci/slots | wc -l)"
t here came; r came
t "! here" taken
t here refilled; r refilled
n=$(readlink /sys/block/vdb | sed "s/.*0000:00:\(..\)\.0.*/\1/")
s=/sys/bus/pci/slots/$((0x$n))/power
echo 0 >$s; t "! here" ejected
echo 1 >$s; t here returned; r returned
until [ "$(dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -c 2)" = go ]; do usleep 200000; done
printf again | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null
busybox reboot -f'

case_hotplug_slots()
{
    local what pid
    truncate -s 4M "$T/a" "$T/b"
    NAME=vm GUEST_TIMEOUT=900 guest_start "$T/log" "bh.cmd=$(echo "$SLOTS_WATCH" | base64 -w0)" \
        --memory size=256M --disk "path=$T/a"
    await "$T/log" '^SLOTS 31'
    "$BIN/bulkhead" add vm --disk "path=$T/b" >"$T/out" || die "add failed"
    await "$T/log" '^READ came'
    "$BIN/bulkhead" remove vm disk1 --force >>"$T/out" || die "remove --force failed"
    await "$T/log" '^SLOT taken'
    "$BIN/bulkhead" add vm --disk "path=$T/b" >>"$T/out" || die "the second add failed"
    await "$T/log" '^READ refilled'
    pid=$(pid_of vm disk1)
    [ -n "$pid" ] || die "ps does not know disk1"
    await "$T/log" '^READ returned'
    [ "$(pid_of vm disk1)" = "$pid" ] || die "an eject that nobody asked for removed the device"
    say_go "$T/a"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    for what in came refilled returned rebooted; do expect "$T/log" "^READ $what"; done
    for what in taken ejected rebooted; do expect "$T/log" "^SLOT $what"; done
}
