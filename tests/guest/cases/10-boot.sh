# shellcheck shell=bash
# Boot, processors, memory, the ways a guest ends.

case_bzimage_hello()
{
    guest "$T/log" bh.test=hello --cpus boot=1 --memory size=256M
    expect_status 0 $? "$T/log"
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
    expect "$T/log" '^cpus: 1'
}

case_vmlinux_pvh_hello()
{
    GUEST_KERNEL=$VMLINUX guest "$T/log" bh.test=hello --cpus boot=1 --memory size=512M
    expect_status 0 $? "$T/log"
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

case_smp_2()
{
    guest "$T/log" bh.test=smp,2 --cpus boot=2 --memory size=256M
    expect_status 0 $? "$T/log"
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

case_smp_4()
{
    guest "$T/log" bh.test=smp,4 --cpus boot=4 --memory size=256M
    expect_status 0 $? "$T/log"
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

# A guest is no host of others unless that is asked for.
case_nested_only_if_asked()
{
    local cmd nested
    cmd=$(echo "grep -cwE '^flags.*(svm|vmx)' /proc/cpuinfo; true" | base64 -w0)
    for nested in off on; do
        guest "$T/$nested" "bh.cmd=$cmd" --cpus "boot=1,nested=$nested" --memory size=256M
        expect_status 0 $? "$T/$nested"
    done
    expect "$T/off" '^0'
    grep -qwE '^flags.*(svm|vmx)' /proc/cpuinfo && [ "$(cat /sys/module/kvm_{amd,intel}/parameters/nested 2>/dev/null)" != 0 ] ||
        { note "this host can't nest: only that it is hidden"; return 0; }
    expect "$T/on" '^1'
}

# RAM on both sides of the 32-bit hole.
case_memory_above_4g()
{
    local cmd
    cmd=$(echo "grep -i 'System RAM' /proc/iomem; awk '/MemTotal/ { exit \$2 < 3900000 }' /proc/meminfo" | base64 -w0)
    guest "$T/log" "bh.cmd=$cmd" --cpus boot=1 --memory size=4G
    expect_status 0 $? "$T/log"
    expect "$T/log" '^100000000-.*System RAM'
    expect "$T/log" 'BULKHEAD-GUEST-EXIT status=0'
}

# Where BARs may lie: below 4 GiB, and behind RAM as far as the processor can address it.
case_windows_for_bars()
{
    local cmd bits
    cmd=$(echo "grep 'PCI Bus 0000:00' /proc/iomem; awk '/^address sizes/ { print \"BITS\", \$4 }' /proc/cpuinfo" | base64 -w0)
    guest "$T/log" "bh.cmd=$cmd" --cpus boot=1 --memory size=256M
    expect_status 0 $? "$T/log"
    expect "$T/log" '^c0000000-dfffffff : PCI Bus 0000:00'
    bits=$(tr -d '\r' <"$T/log" | sed -n 's/^BITS //p')
    [ "${bits:-0}" -gt 36 ] || { note "$bits bits: the window of 64-bit BARs is out of reach here"; return 0; }
    expect "$T/log" '^1000000000-1fffffffff : PCI Bus 0000:00'
}

case_reboot_is_told()
{
    guest "$T/log" "bh.test=hello bh.end=reboot" --no-reboot --memory size=256M
    expect_status 4 $? "$T/log"
}

case_reboot_boots_again()
{
    local cmd
    cmd=$(echo 'case "$(dd if=/dev/vda bs=7 count=1 2>/dev/null)" in second*) echo SECOND; poweroff -f;; *) printf second. | dd of=/dev/vda conv=fsync 2>/dev/null; reboot -f;; esac' | base64 -w0)
    truncate -s 1M "$T/disk"
    guest "$T/log" "bh.cmd=$cmd" --memory size=256M --disk "path=$T/disk"
    expect_status 0 $? "$T/log"
    expect "$T/log" '^SECOND'
}

case_triple_fault_is_a_crash()
{
    guest "$T/log" "bh.test=hello bh.end=triple" --memory size=256M
    expect_status 3 $? "$T/log"
}

case_boots_in_a_row()
{
    local i boots=5
    [ -z "${BULKHEAD_LONG:-}" ] || boots=100
    for ((i = 1; i <= ${BOOTS:-$boots}; i++)); do
        guest "$T/log$i" bh.cmd="$(echo true | base64 -w0)" --cpus boot=1 --memory size=128M
        expect_status 0 $? "$T/log$i"
        expect "$T/log$i" 'BULKHEAD-GUEST-EXIT status=0'
    done
}
