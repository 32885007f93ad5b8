# shellcheck shell=bash
# Hosts that are hardened, one case each: a VM boots, its disk's worker dies and is replaced, and the
# audit finds no drift. A guest of two instructions does where only the start differs. What a
# case changes of this host it puts back; the last can't be.

# shellcheck source=tests/cli/lib.sh
. "$ROOT/tests/cli/lib.sh"

HALT=("$BIN/bulkhead" run --name hard --memory size=64M --serial null --json --audit)

# event N REGEX: waits until $T/events has so many of such lines.
event()
{
    local i n
    for ((i = 0; i < 600; i++)); do
        n=$(grep -cE -- "$2" "$T/events")
        [ "$n" -lt "$1" ] || return 0
        kill -0 "$RUN_PID" 2>/dev/null || break
        sleep "$POLL"
    done
    show "$T/events" "$T/err"
    die "waited for $1 times '$2'"
}
AUDIT='"source":"audit","event":"'

# Who asks the broker: to a user namespace root outside is nobody.
AS=()
ctl() { "${AS[@]}" "$BIN/bulkhead" "$@"; }
disk0() { ctl ps hard --json | tr '{' '\n' | sed -n 's/.*"name": *"disk0".*"pid": *\([1-9][0-9]*\).*/\1/p' | sed -n 1p; }

# Whether the disk's worker is also upgraded, to the same build.
UPGRADES=''
upgraded() { [ -z "$UPGRADES" ] || ctl upgrade hard disk0 >"$T/upgrade" 2>&1 || { show "$T/upgrade"; die "the upgrade failed"; }; }

# replaced_and_audited: the disk of the VM that runs; ends the VM.
replaced_and_audited()
{
    event 1 "$AUDIT"
    kill -KILL "$(disk0)" || die "no disk0 to kill"
    event 1 '"event":"restarted","properties":\{"id":"disk0"'
    event 2 "$AUDIT"
    upgraded
    expect_not "$T/events" "$AUDIT(drift|failed)"
    ctl stop hard >"$T/stop" || die "stop failed"
    wait "$RUN_PID"
    expect_status 5 $? "$T/err"
    RUN_PID=''
    expect_not "$T/err" "can't hold the io_uring"
}

# files: what a VM of the halting guest needs, everybody's.
files()
{
    make_bzimage "$T/kernel"
    halt_kernel "$T/kernel"
    truncate -s 1M "$T/disk"
    chmod 666 "$T/disk" "$T/kernel"
    HALT+=(--kernel "$T/kernel" --disk "path=$T/disk")
    touch "$T/events" "$T/err"
    chmod 666 "$T/events" "$T/err"
}

# survives COMMAND...: the VM as started by that command, which the rest of the line is appended to.
survives()
{
    files
    "$@" "${HALT[@]}" </dev/null >"$T/events" 2>"$T/err" &
    RUN_PID=$!
    replaced_and_audited
}

# refused REGEX COMMAND...: status 2, and one line that says what to do. refused_with STATUS: the same.
refused() { refused_with 2 "$@"; }
refused_with()
{
    local wanted=$1 want=$2 status
    shift 2
    files
    "$@" "${HALT[@]}" </dev/null >"$T/events" 2>"$T/err"
    status=$?
    expect_status "$wanted" $status "$T/err"
    [ "$(wc -l <"$T/err")" = 1 ] || { show "$T/err"; die "not one line"; }
    expect "$T/err" "$want"
}

# with_setting NAME=VALUE... -- COMMAND...: with these sysctls of this host, which are put back.
with_setting()
{
    local old=() new=() pair status
    while [ "$1" != -- ]; do
        new+=("$1")
        pair=$(sysctl -n "${1%%=*}") || die "no sysctl ${1%%=*} here"
        old+=("${1%%=*}=$pair")
        shift
    done
    shift
    (for pair in "${new[@]}"; do sysctl -qw "$pair" || die "sysctl $pair"; done; "$@")
    status=$?
    for pair in "${old[@]}"; do sysctl -qw "$pair"; done
    return $status
}

# in_mounts SCRIPT COMMAND...: in a mount namespace where that script ran first.
in_mounts()
{
    local script=$1
    shift
    unshare -m sh -ec "$script"'; exec "$@"' sh "$@"
}

user_run() { mkdir -m 700 "$T/run" && chown 65534:65534 "$T/run" && export BULKHEAD_RUNDIR=$T/run && chmod 755 "$T"; }
user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

# real_guest_survives COMMAND...: with a real guest, as started by that command: its I/O goes on over the death of the
# disk's worker. $T/rings says how many rings of io_uring the next one has.
real_guest_survives()
{
    local GUEST_UNDER=("$@")
    truncate -s 64M "$T/disk"; truncate -s 4k "$T/flag"
    NAME=hard GUEST_TIMEOUT=600 guest_start "$T/log" "bh.test=iostress,/dev/vda,600,4,/dev/vdb" --cpus boot=1 --memory size=256M \
        --disk "path=$T/disk" "path=$T/flag,readonly=on" --json --audit
    await "$T/log" IOSTRESS
    local old new i
    old=$(pid_of hard disk0)
    kill -KILL "$old"
    await "$T/log.out" '"event":"restarted","properties":."id":"disk0"'
    for ((i = 0; i < 600; i++)); do [ "$(grep -c "$AUDIT" "$T/log.out")" -ge 2 ] && break; sleep "$POLL"; done
    upgraded
    new=$(pid_of hard disk0)
    [ -n "$new" ] && [ "$new" != "$old" ] || die "disk0 was not replaced"
    find "/proc/$new/fd" -lname 'anon_inode:*io_uring*' | wc -l >"$T/rings"
    "$BIN/bulkhead" ps hard >"$T/ps"
    no_drift hard
    say_go "$T/flag"
    wait "$GUEST_PID"
    expect_status 0 $? "$T/log"
    expect "$T/log" 'IOSTRESS verify_errors=0 io_errors=0'
    expect_not "$T/log.out" "$AUDIT(drift|failed)"
    expect_not "$T/log.err" "can't hold the io_uring"
}

# ---- no user namespaces

no_userns_root()
{
    real_guest_survives
    expect "$T/ps" 'sandbox: in [0-9]+ processes userns replaced'
    expect "$T/audit" 'note +disk0 +userns .*replaced'
    expect "$T/audit" 'ok +disk0 +seccomp'
    expect "$T/audit" 'ok +disk0 +dumpable'
}
case_hardened_no_userns_as_root() { with_setting user.max_user_namespaces=0 -- no_userns_root; }
case_hardened_no_userns_as_user()
{
    user_run
    with_setting user.max_user_namespaces=0 -- refused 'user.max_user_namespaces=10000' user
}
case_hardened_unprivileged_userns_clone()
{
    user_run
    with_setting kernel.unprivileged_userns_clone=0 -- refused 'kernel.unprivileged_userns_clone=0' user
    BULKHEAD_RUNDIR=$T/root-run
    mkdir -m 700 "$BULKHEAD_RUNDIR"
    with_setting kernel.unprivileged_userns_clone=0 -- survives
}

# ---- root of a user namespace

case_hardened_root_of_a_user_namespace() { survives unshare -Ur; }
case_hardened_root_of_a_users_namespace()
{
    user_run
    AS=(setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Ur)
    survives "${AS[@]}"
}

# ---- what can't be seen

case_hardened_hidepid()
{
    user_run
    survives in_mounts 'mount -t proc -o hidepid=2 proc /proc' setpriv --reuid 65534 --regid 65534 --clear-groups
    expect "$T/events" "${AUDIT}passed\",\"properties\":\{\"unreadable\":\"[1-9]"
}

# ---- what all ran before, and is to go on running

case_hardened_strict_overcommit() { with_setting vm.overcommit_memory=2 vm.overcommit_ratio=90 -- survives; }
case_hardened_links_and_kexec()
{
    local settings=(fs.protected_regular=2 fs.protected_fifos=2 fs.protected_symlinks=1 fs.protected_hardlinks=1)
    # this one goes up only
    [ -z "${BULKHEAD_IN_HOST:-}" ] || sysctl -qw kernel.kexec_load_disabled=1
    with_setting "${settings[@]}" -- survives
}
case_hardened_umask() { survives sh -c 'umask 0777; exec "$@"' sh; }
case_hardened_few_descriptors() { survives sh -c 'ulimit -n 200; exec "$@"' sh; }
case_hardened_closed_stdin() { survives sh -c 'exec "$@" <&-' sh; }
case_hardened_no_cgroup() { survives in_mounts 'umount /sys/fs/cgroup'; }
case_hardened_no_shm() { survives in_mounts 'mount -t tmpfs none /mnt; mkdir /mnt/net; for n in null zero full random urandom tty kvm net/tun ptmx; do touch "/mnt/$n"; mount --bind "/dev/$n" "/mnt/$n" || :; done; mount --rbind /mnt /dev; [ ! -e /dev/shm ]'; }
case_hardened_noexec_run_and_readonly_root()
{
    survives in_mounts 'mount -t tmpfs -o noexec,nosuid,nodev none /run; mount -o remount,bind,ro /; if touch /etc/bulkhead-test 2>/dev/null; then exit 9; fi'
}
case_hardened_no_landlock() { survives "$BIN/../tests/confine" landlock --; }
case_hardened_no_io_uring()
{
    real_guest_survives "$BIN/../tests/confine" io_uring --
    expect "$T/rings" '^0$'
}
case_hardened_memfd_noexec() { survives "$BIN/../tests/memfd_noexec"; }

# The profile of docs/operating.md confines whoever starts the VM. Without its rule for mounts one line says so.
profile() { printf 'profile %s flags=(attach_disconnected) {\n' "$1"; shift; printf ' %s,\n' "$@"; echo '}'; }
case_hardened_apparmor()
{
    local rules=(file capability network unix signal ptrace mount umount pivot_root) status
    [ "$(cat /sys/module/apparmor/parameters/enabled)" = Y ] || die "no AppArmor in this kernel"
    profile bulkhead-all "${rules[@]}" >"$T/profiles"
    profile bulkhead-few "${rules[@]/#mount/change_profile}" >>"$T/profiles"
    apparmor_parser --replace --skip-cache "$T/profiles" || die "no profile"
    (survives aa-exec -p bulkhead-all --)
    status=$?
    [ $status != 0 ] || (refused_with 1 'AppArmor or SELinux: allow mount' aa-exec -p bulkhead-few --)
    status=$((status + $?))
    apparmor_parser --remove "$T/profiles"
    return $status
}

# As docs/bulkhead@.service makes it: the kernel's side of its directives.
case_hardened_service()
{
    # ReadWritePaths= are what the console's file and the VM's folder are in
    real_guest_survives in_mounts "for d in '$T' '$BULKHEAD_RUNDIR'; do mount --bind \"\$d\" \"\$d\"; done
        mount -o remount,bind,ro /; mount -t tmpfs -o nosuid,nodev none /var/tmp" \
        setpriv --bounding-set -all,+dac_override,+kill,+setgid,+setuid,+setpcap,+sys_admin,+sys_chroot,+net_admin \
        --inh-caps -all "$BIN/../tests/confine" service --
}

# ---- and nobody may trace: until the next boot, so only where the host is the test's own, and last

case_hardened_ptrace_scope_3()
{
    UPGRADES=1
    if [ -n "${BULKHEAD_IN_HOST:-}" ]; then
        sysctl -qw kernel.yama.ptrace_scope=3 || die "no yama here"
        real_guest_survives
        expect "$T/audit" 'unread +disk0 +seccomp .*ptrace_scope=3'
    else
        survives "$BIN/../tests/confine" trace --
        expect "$T/events" "${AUDIT}passed\",\"properties\":\{\"unreadable\":\"[1-9]"
    fi
}
