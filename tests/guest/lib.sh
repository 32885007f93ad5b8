# shellcheck shell=bash
# lib.sh - what the guest tests share. A case is a function case_NAME in tests/guest/cases/*.sh; it
# runs in a subshell with a folder of its own ($T) and a run directory of its own, and fails by a
# non-zero status. Whatever it left running is an error of its own.

# shellcheck source=tests/host/wait.sh
. "$ROOT/tests/host/wait.sh"

BIN=${BULKHEAD_BIN:-$ROOT/build/release/bin}
GUEST=${BULKHEAD_GUEST:-$ROOT/build/guest}
KERNEL=$GUEST/vmlinuz
VMLINUX=$GUEST/vmlinux
INITRAMFS=$GUEST/initramfs.cpio
QUIET="console=ttyS0 quiet panic=-1"

die() { echo "  $*" >&2; exit 1; }
note() { echo "  $*" >&2; }
skip() { echo "  $*" >&2; exit 77; }

# guest LOG CMDLINE [FLAG]... : runs a guest to its end, serial output in LOG; status of `bulkhead run`. GUEST_UNDER is
# the beginning of the command, if it is to have one.
guest()
{
    local log=$1 cmdline=$2 name=${NAME:-t$BASHPID} watch='' status
    shift 2
    [ -z "${BULKHEAD_IN_HOST:-}" ] || { end_if_stuck "$name" "$log" & watch=$!; }
    "${GUEST_UNDER[@]}" timeout --kill-after=10 "${GUEST_TIMEOUT:-240}" "$BIN/bulkhead" run --name "$name" \
        --kernel "${GUEST_KERNEL:-$KERNEL}" --initramfs "$INITRAMFS" --cmdline "$QUIET $cmdline" \
        --serial "file=$log" "$@" </dev/null >"$log.out" 2>"$log.err"
    status=$?
    [ -z "$watch" ] || { kill "$watch" && wait "$watch"; } 2>/dev/null
    return $status
}

# end_if_stuck VM LOG: a guest of the emulated host whose processor has been at one place for minutes stays there
# (tests/host/README.md): it is ended, rather than waited for until its time is over.
end_if_stuck()
{
    local tail
    exec {tail}< <(exec tail -n +1 -F -- "$2" 2>/dev/null)
    trap "kill $!" EXIT
    trap 'exit 1' TERM
    grep -qE 'soft lockup - CPU#[0-9]+ stuck for [1-9][0-9]{2}s' <&"$tail" &
    wait $!
    note "waited for a guest that is stuck"
    "$BIN/bulkhead" stop "$1" >/dev/null 2>&1
}

# guest_start LOG CMDLINE [FLAG]...: the same in the background; $GUEST_PID.
guest_start()
{
    local log=$1
    guest "$@" &
    GUEST_PID=$!
    : >"$log" 2>/dev/null || true
}

# as_user COMMAND...: an ordinary user with access to /dev/kvm; a_users_files FILE...: what it may write.
as_user()
{
    timeout --kill-after=10 240 setpriv --reuid 65534 --regid 65534 --clear-groups \
        env BULKHEAD_RUNDIR="$T/run" HOME=/ "$@"
}
a_users_files()
{
    mkdir -m 700 "$T/run" && chmod 755 "$T" && touch "$@" && chown 65534:65534 "$T/run" "$@"
}

show() { local f; for f in "$@"; do [ -s "$f" ] && { echo "  --- ${f##*/}"; tail -n "${SHOW:-15}" "$f" | tr -d '\r' | sed 's/^/  | /'; } >&2; done; return 0; }

# expect_status WANT GOT LOG
expect_status() { [ "$1" = "$2" ] || { show "$3" "$3.err"; die "exit status $2, not $1"; }; }
# expect LOG REGEX: the log has a line like that.
expect() { grep -qE -- "$2" "$1" || { show "$1" "$1.err"; die "no '$2' in ${1##*/}"; }; }
expect_not() { ! grep -E -- "$2" "$1" >&2 || die "unwanted '$2' in ${1##*/}"; }

# await FILE REGEX [SECONDS]: waits until the file has such a line.
await()
{
    ! await_lines "$1" "$2" 1 "${3:-120}" "${GUEST_PID:-}" || return 0
    show "$1" "$1.err"
    die "waited for '$2' in ${1##*/}"
}

# await_count FILE REGEX N [SECONDS]: until it has that many of such lines.
await_count()
{
    ! await_lines "$1" "$2" "$3" "${4:-120}" "${GUEST_PID:-}" || return 0
    show "$1" "$1.err"
    die "waited for $3 times '$2' in ${1##*/}, there are $(grep -caE -- "$2" "$1")"
}

# say_go FILE: the guest sees it on the disk that this file is.
say_go() { printf go | dd of="$1" conv=notrunc 2>/dev/null; }

# pid_of VM PROCESS: from `bulkhead ps --json`; nothing for one that is being started and has no pid
# yet, which is shown as 0: that would be everybody here to kill.
pid_of()
{
    [[ $("$BIN/bulkhead" ps "$1" --json) =~ \"name\":\ *\"$2\"[^{]*\"pid\":\ *([1-9][0-9]*) ]] && echo "${BASH_REMATCH[1]}"
}

# no_drift VM: its audit passes; $T/audit has it.
no_drift()
{
    "$BIN/bulkhead" audit "$1" >"$T/audit" && return 0
    grep -v '^ok ' "$T/audit" >&2
    die "audit found drift"
}

# Nothing may be left: processes of ours, files in the run directory, mounts.
leftovers()
{
    local left=''
    left+=$(pgrep -a '^bulkhead' | grep -F "$BIN" || true)
    left+=$(find "$BULKHEAD_RUNDIR" -mindepth 1 2>/dev/null || true)
    [ -z "$left" ] || { echo "  left behind: $left" >&2; return 1; }
}

# settled: leftovers() once the fleet had a moment to be reaped.
settled()
{
    local i
    for ((i = 0; i < 20; i++)); do
        leftovers 2>/dev/null && return 0
        sleep 0.3
    done
    leftovers
}
