# shellcheck shell=bash
# Devices as an unmodified guest sees them, where that takes minutes; worker_console_test tries a stuck reader in a moment.

# Nobody reads the serial socket while the guest prints more than any buffer holds: it must end all the same.
case_console_without_reader_blocks_nothing()
{
    local cmd
    cmd=$(echo 'seq 1 20000' | base64 -w0)
    guest "$T/log" "bh.cmd=$cmd" --memory size=256M --serial "socket=$T/sock"
    expect_status 0 $? "$T/log"
}
