# shellcheck shell=bash
# What is refused with a real kernel, or beside a running VM. All else that is refused, and starts that
# fail halfway, are in tests/cli (bad-input, kill-start), with kernels of two instructions.

# shellcheck source=tests/cli/lib.sh
. "$ROOT/tests/cli/lib.sh"

# bad_case COMMAND...: fails when one of the lines it prints is a FAIL.
bad_case()
{
    failed=0
    mkdir -p "$T/io"
    "$@" >"$T/io/report"
    grep -q '^ok' "$T/io/report" || die "nothing was tried"
    ((failed == 0)) || { cat "$T/io/report" >&2; die "$failed failed"; }
    note "$(grep -c '^ok' "$T/io/report") checks"
}

real_kernels()
{
    local run=("$BIN/bulkhead" run --serial null --memory size=256M)
    mkdir -p "$T/kernels"
    head -c 5000000 "$KERNEL" >"$T/kernels/vmlinuz"
    head -c 5000000 "$VMLINUX" >"$T/kernels/vmlinux"
    refuses bad_real_bzimage_truncated 'the kernel is truncated' "${run[@]}" --kernel "$T/kernels/vmlinuz"
    refuses bad_real_vmlinux_truncated 'the kernel is truncated' "${run[@]}" --kernel "$T/kernels/vmlinux"
    refuses bad_real_kernel_little_memory '--memory' "${run[@]}" --kernel "$KERNEL" --memory size=32M
    refuses bad_real_initramfs_too_large 'needs --memory size=[0-9]+M' "${run[@]}" --kernel "$KERNEL" --initramfs "$GUEST/disk.ext4" --memory size=128M
}
case_bad_real_kernels() { bad_case real_kernels; }

# A second VM wants what a running one has.
taken_by_another_vm()
{
    local run=("$BIN/bulkhead" run --serial null --memory size=128M --kernel "$KERNEL")
    refuses bad_name_taken 'a VM named vm is running' "${run[@]}" --name vm
    refuses bad_disk_taken 'in use by another VM' "${run[@]}" --disk "path=$T/disk"
    refuses bad_disk_taken_readonly 'in use by another VM' "${run[@]}" --disk "path=$T/disk,readonly=on"
    refuses bad_serial_taken 'in use by another process' "${run[@]}" --serial "socket=$T/sock"
    refuses bad_vm_mistyped "no VM 'vn' \(the nearest running one is 'vm'\)" "$BIN/bulkhead" stop vn
    refuses bad_device "there is no device 'disk7': this VM has" "$BIN/bulkhead" repair vm disk7
    refuses bad_device_healthy 'disk0 is healthy' "$BIN/bulkhead" repair vm disk0
}
case_bad_second_vm()
{
    running_guest --console "socket=$T/sock"
    mkdir -p "$T/io"
    : >"$T/io/report"
    bad_case taken_by_another_vm
    "$BIN/bulkhead" stop vm || die "stop failed"
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
}
