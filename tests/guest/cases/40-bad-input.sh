# shellcheck shell=bash
# What is refused, and starts that fail halfway, where KVM is real. tests/cli has the same without.

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

# tests/cli/bad-input tries all of them where this machine's KVM will do; here a few.
case_bad_kernels() { only='text|aarch64_elf|initramfs' bad_case refuse_kernels; }

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

# Each process killed at several moments of the start.
kill_case()
{
    local delay
    truncate -s 1M "$T/disk"
    for delay in ${DELAYS:-0 50}; do
        kill_start "$1" "$delay" --serial null --kernel "$KERNEL" --initramfs "$INITRAMFS" \
            --cmdline "$QUIET" --memory size=256M --disk "path=$T/disk"
    done
}
case_bad_start_spawner_killed() { bad_case kill_case spawner; }
case_bad_start_loader_killed() { bad_case kill_case loader; }
case_bad_start_core_killed() { bad_case kill_case core; }
case_bad_start_rng_killed() { bad_case kill_case rng; }
case_bad_start_serial_killed() { bad_case kill_case serial; }
case_bad_start_disk_killed() { bad_case kill_case disk0; }
