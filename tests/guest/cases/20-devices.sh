# shellcheck shell=bash
# Disk, entropy, consoles, as an unmodified guest sees them.

md5_at() { dd if="$1" bs=1M skip="$(($2 >> 20))" count="$(($3 >> 20))" 2>/dev/null | md5sum | cut -d' ' -f1; }

# The guest's own view of what it wrote is the host's view of the file.
compare_disk() # LOG TAG FILE
{
    local offset length md5
    read -r offset length md5 <<<"$(tr -d '\r' <"$1" | sed -n "s/^$2 offset=\([0-9]*\) length=\([0-9]*\) md5=\([0-9a-f]*\)/\1 \2 \3/p")"
    [ -n "$md5" ] || die "the guest reported no checksum"
    [ "$(md5_at "$3" "$offset" "$length")" = "$md5" ] || die "the host sees other bytes than the guest wrote"
}

disk_case() # OPTIONS OF THE FIRST DISK
{
    truncate -s 64M "$T/disk"
    head -c 4M /dev/urandom >"$T/ro"
    guest "$T/log" "bh.test=blk,/dev/vda,/dev/vdb bh.tools=/dev/vdc" --cpus boot=2 --memory size=512M \
        --disk "path=$T/disk,serial=BH-DISK-0$1" "path=$T/ro,readonly=on" "path=$GUEST/disk.ext4,readonly=on"
    expect_status 0 $? "$T/log"
    expect "$T/log" "serial 'BH-DISK-0'"
    expect_not "$T/log" '^FAIL'
    expect "$T/log" 'ok: fio verifies'
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
    compare_disk "$T/log" BULKHEAD-BLK "$T/disk"
    compare_disk "$T/log" BULKHEAD-BLK-RO "$T/ro"
}

case_disk_io_uring() { disk_case ,num_queues=2; }
case_disk_without_io_uring() { disk_case ,disable_io_uring=on; }

# O_DIRECT on a real block device.
case_disk_direct_block_device()
{
    local dev
    truncate -s 64M "$T/backing"
    dev=$(losetup --show -f "$T/backing") || die "no loop device"
    guest "$T/log" "bh.test=blk,/dev/vda" --memory size=256M --disk "path=$dev,direct=on"
    local status=$?
    losetup -d "$dev"
    expect_status 0 $status "$T/log"
    expect_not "$T/log" '^FAIL'
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

case_entropy()
{
    guest "$T/log" bh.test=rng --memory size=256M
    expect_status 0 $? "$T/log"
    expect_not "$T/log" '^FAIL'
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

check_console_output()
{
    tr -d '\r' <"$1" | sed -n '/^BULKHEAD-CONSOLE begin/,/^BULKHEAD-CONSOLE end/p' | sed '1d;$d' >"$T/numbers"
    seq 1 2000 | cmp - "$T/numbers" || die "the guest's output arrived changed"
}

case_serial_socket_both_ways()
{
    guest_start "$T/log" "bh.test=console" --memory size=256M --serial "socket=$T/sock"
    # the last --serial wins; a client that comes late still gets the tail
    for _ in $(seq 300); do [ -S "$T/sock" ] && break; sleep 0.1; done
    mkfifo "$T/in"
    socat -u "UNIX-CONNECT:$T/sock" "CREATE:$T/seen" &
    local reader=$! in
    await "$T/seen" 'BULKHEAD-CONSOLE ready'
    kill "$reader"; wait "$reader" 2>/dev/null
    exec {in}<>"$T/in"
    echo hello-from-the-host >&"$in"
    timeout 200 socat - "UNIX-CONNECT:$T/sock" <&"$in" >"$T/seen2"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/seen2" 'got=hello-from-the-host'
    check_console_output "$T/seen2"
}

case_serial_file()
{
    local cmd
    cmd=$(echo 'echo BULKHEAD-CONSOLE begin; seq 1 2000; echo BULKHEAD-CONSOLE end' | base64 -w0)
    guest "$T/log" "bh.cmd=$cmd" --memory size=256M
    expect_status 0 $? "$T/log"
    check_console_output "$T/log"
}

case_virtio_console()
{
    local cmd
    cmd=$(echo 'exec >/dev/hvc0; echo BULKHEAD-CONSOLE begin; seq 1 2000; echo BULKHEAD-CONSOLE end' | base64 -w0)
    guest "$T/log" "bh.cmd=$cmd" --memory size=256M --console "file=$T/hvc"
    expect_status 0 $? "$T/log"
    check_console_output "$T/hvc"
}

# The path of the pseudo terminal is told; the guest prints to it and hears from it.
case_serial_pty_both_ways()
{
    local path
    mkfifo "$T/in"
    guest_start "$T/log" "bh.test=console" --memory size=256M --serial pty
    await "$T/log.err" 'serial: /dev/pts/'
    path=$(sed -n 's/.*serial: \(\/dev\/pts\/[0-9]*\).*/\1/p' "$T/log.err" | sed -n 1p)
    socat "OPEN:$path,rawer" - <"$T/in" >"$T/seen" &
    local user=$!
    exec 7>"$T/in"
    await "$T/seen" 'BULKHEAD-CONSOLE ready'
    echo hello-from-the-host >&7
    wait "$GUEST_PID"
    expect_status 0 $? "$T/seen"
    exec 7>&-
    wait "$user" 2>/dev/null
    expect "$T/seen" 'got=hello-from-the-host'
    check_console_output "$T/seen"
}

# On a terminal: raw while attached, as it was afterwards; the guest hears the keys, Ctrl-A x quits.
case_serial_tty_and_its_way_out()
{
    local run
    mkfifo "$T/in"
    run="stty -a >'$T/before'; '$BIN/bulkhead' run --name tty --kernel '$KERNEL' --initramfs '$INITRAMFS'"
    run+=" --cmdline '$QUIET bh.test=console' --memory size=256M --serial tty; echo left=\$? >'$T/left'; stty -a >'$T/after'"
    echo "$run" >"$T/run.sh"
    socat - "EXEC:bash $T/run.sh,pty,setsid,ctty,stderr" <"$T/in" >"$T/seen" &
    GUEST_PID=$!
    exec 7>"$T/in"
    await "$T/seen" 'BULKHEAD-CONSOLE ready'
    printf '\001x' >&7
    await "$T/left" left=
    exec 7>&-
    wait "$GUEST_PID"
    expect "$T/left" '^left=5$'
    cmp "$T/before" "$T/after" >&2 || die "the terminal is not as it was"
}
