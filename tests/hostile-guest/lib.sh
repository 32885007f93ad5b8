# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - runs the hostile guest and looks at what it did to the host. Used by run and by the guest
# cases. The caller sets $BIN, $HOSTILE (the guest's ELF file) and $BULKHEAD_RUNDIR.

# shellcheck source=tests/host/wait.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../host/wait.sh"

# How long between samples of a VM's memory: where the processor is emulated one takes half a second of it.
SAMPLE=0.2
[ -z "${BULKHEAD_IN_HOST:-}" ] || SAMPLE=2

# memory_beside_ram VM: KiB of all its processes (proportional set size), without guest RAM.
memory_beside_ram()
{
    local pids
    mapfile -t pids < <("$BIN/bulkhead" ps "$1" --json 2>/dev/null | sed -n 's|.*"pid": *\([1-9][0-9]*\).*|/proc/\1/smaps|p')
    cat "${pids[@]}" 2>/dev/null </dev/null | awk '/^[0-9a-f]+-[0-9a-f]+ / { ram = /memfd:guest-ram/ } /^Pss:/ && !ram { n += $2 } END { print n + 0 }'
}

# watch_memory VM PID DIR: until PID is gone; the first sample of the running guest and the largest in
# DIR/memory.
watch_memory()
{
    local first='' most=0 now
    while kill -0 "$2" 2>/dev/null; do
        now=0
        ! grep -q '"running"' "$3/events" || now=$(memory_beside_ram "$1")
        if ((now > 0)); then
            : "${first:=$now}"
            ((now <= most)) || most=$now
            echo "$first $most" >"$3/memory"
        fi
        sleep "$SAMPLE"
    done
}

# come_and_go VM PID DIR: until PID is gone, a disk is added and removed, by turns with the guest's consent, if it
# gives it, and without. A line each in DIR/plugged.
come_and_go()
{
    local n=0 id force
    truncate -s 1M "$3/spare"
    while kill -0 "$2" 2>/dev/null; do
        sleep "$POLL"
        "$BIN/bulkhead" add "$1" --disk "path=$3/spare" --json >"$3/added" 2>/dev/null || continue
        id=$(sed -n 's/.*"device": *"\([^"]*\)".*/\1/p' "$3/added")
        echo "added $id" >>"$3/plugged"
        sleep 0.2
        force=()
        ((n++ % 2)) || force=(--force)
        "$BIN/bulkhead" remove "$1" "$id" "${force[@]}" >/dev/null 2>&1 && echo "removed $id ${force[*]}" >>"$3/plugged"
    done
}

# hostile_guest DIR NAME CMDLINE FLAG...: one life of it, with every kind of device. Status of `run`.
# DIR gets log (serial), events, out, err, disk0, disk1.
hostile_guest()
{
    local dir=$1 name=$2 cmdline=$3
    shift 3
    : >"$dir/log" >"$dir/events"
    truncate -s 16M "$dir/disk0" "$dir/disk1"
    exec timeout --kill-after=10 "${HOSTILE_TIMEOUT:-120}" "$BIN/bulkhead" run --name "$name" --kernel "$HOSTILE" \
        --cmdline "$cmdline" --no-reboot --cpus boot=2 --memory size=64M --serial "file=$dir/log" --console null \
        --disk "path=$dir/disk0,num_queues=2" "path=$dir/disk1,disable_io_uring=on" \
        --vsock "cid=42,socket=$dir/vsock" --balloon size=0,free_page_reporting=on,deflate_on_oom=on \
        --hang-timeout 5000 --event-monitor "path=$dir/events" "$@" </dev/null >"$dir/out" 2>"$dir/err"
}

# how_it_ended DIR STATUS: nothing when it ended as a guest may end and no process of the VM died,
# else what was wrong.
how_it_ended()
{
    local dir=$1 status=$2
    case $status in
    0 | 3 | 4) ;;
    *) echo "exit status $status" ;;
    esac
    [ "$status" = 3 ] || grep -aqE 'HOSTILE (done|harmed itself)' "$dir/log" || echo "it ended before it was done"
    grep -E '"(died|hung|failed|restarted)"' "$dir/events"
    grep -E 'Sanitizer|runtime error|Assertion|SIGSYS|killed by signal' "$dir/err"
}
