# shellcheck shell=bash
# A guest that lies to every device, beside one that works: the neighbour must not notice.
# What it costs the neighbour in time is measured where processors are real: tests/perf/neighbour.
# shellcheck source=tests/hostile-guest/lib.sh
. "$ROOT/tests/hostile-guest/lib.sh"
HOSTILE=$BIN/../tests/hostile-guest.elf

# Verified I/O in windows for as long as the VM lives; a line each with the p99 of reads and writes.
# shellcheck disable=SC2016
FIO_WINDOWS='i=0
while :; do
    i=$((i + 1))
    fio --name=w --filename=/dev/vda --size=2m --rw=randrw --bs=4k --ioengine=libaio --iodepth=4 --direct=1 \
        --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=$i --clocksource=clock_gettime \
        --output-format=json >/tmp/json 2>/tmp/why
    echo "WINDOW $i status=$? errors=$(sed -n "s/.*\"error\" : \([0-9]*\).*/\1/p" /tmp/json | sed -n 1p) us=$(($(
        sed -n "s/.*\"99.000000\" : \([0-9]*\).*/\1/p" /tmp/json | sort -n | tail -1) / 1000))."
    head -2 /tmp/why
done'

# windows_done: how many the neighbour has finished.
windows_done() { grep -ac '^WINDOW' "$T/log"; }

# await_windows N: that many more. They take a few seconds each; a guest that has stalled is noticed soon.
await_windows()
{
    await "$T/log" "^WINDOW $(($(windows_done) + $1)) " $((60 * $1))
}

# The hostile VM ended: its files and processes are gone, those of the neighbour are all there are.
nothing_left_of_it()
{
    local i left
    for ((i = 0; i < 50; i++)); do
        left=$(find "$BULKHEAD_RUNDIR" -mindepth 1 -name 'hostile*')$(pgrep '^bulkhead' | grep -vxFf "$T/before")
        [ -n "$left" ] || return 0
        sleep "$POLL"
    done
    echo "left behind: $left"
}

# one_life SEED: what was wrong, if anything, is in $T/b/wrong; a line for each life in $T/b/lives.
one_life()
{
    local seed=$1 ends=(off reset fault off) life status why most=0
    : >"$T/b/events"
    rm -f "$T/b/memory"
    (hostile_guest "$T/b" hostile "seed=$seed ops=${HOSTILE_OPS:-1000} end=${ends[seed % 4]}" --net tap=bhhostile) &
    life=$!
    watch_memory hostile $life "$T/b"
    wait $life
    status=$?
    why=$(how_it_ended "$T/b" $status)$(nothing_left_of_it)
    # In the emulated host there is time for a sample or two, so all of it is judged, not what it grew by.
    [ ! -s "$T/b/memory" ] || read -r _ most <"$T/b/memory"
    ((most <= 16384)) || why+=" its processes have $most KiB"
    echo "seed $seed status $status memory $most KiB, $(tr -d '\0' <"$T/b/log" | grep -aoE '(ops=[0-9]+ interrupts|harmed itself).*' | tail -1)" >>"$T/b/lives"
    [ -z "$why" ] || { echo "seed $seed: $why"; tail -20 "$T/b/err"; } >>"$T/b/wrong"
}

# One after the other while $T/on is there, at least one.
hostile_lives()
{
    local seed=1
    one_life 1
    while [ -e "$T/on" ]; do one_life $((++seed)); done
}

# p99_of FIRST LAST: of these windows.
p99_of() { grep -a '^WINDOW' "$T/log" | sed -n "$1,$2s/.*us=\([0-9]*\).*/\1/p" | tr '\n' ' '; }

pids_of() { "$BIN/bulkhead" ps "$1" --json | grep -o '"pid": *[0-9]*'; }

case_hostile_guest_beside_another()
{
    local windows=2 before memory lives begin grown alone
    [ -z "${BULKHEAD_LONG:-}" ] || windows=40
    [ -e "$HOSTILE" ] || die "no ${HOSTILE##*/}: ./dev build"
    mkdir "$T/b"
    truncate -s 64M "$T/disk"
    NAME=neighbour GUEST_TIMEOUT=3000 guest_start "$T/log" "bh.cmd=$(echo "$FIO_WINDOWS" | base64 -w0) bh.tools=/dev/vdb" \
        --memory size=256M --disk "path=$T/disk" "path=$GUEST/disk.ext4,readonly=on"
    begin=$SECONDS
    await_windows 1
    alone=$(windows_done)
    before=$(pids_of neighbour)
    pgrep '^bulkhead' >"$T/before"
    memory=$(memory_beside_ram neighbour)
    touch "$T/on"
    hostile_lives &
    lives=$!
    await_windows "$windows"
    rm "$T/on"
    wait $lives
    grown=$(($(memory_beside_ram neighbour) - memory))
    sed 's/^/  /' "$T/b/lives" >&2
    note "the neighbour's p99 alone: $(p99_of 1 "$alone")us, beside the hostile guest: $(p99_of $((alone + 1)) '$')us, its memory grew by $grown KiB, $((SECONDS - begin)) s"
    [ ! -s "$T/b/wrong" ] || { cat "$T/b/wrong" >&2; die "the hostile guest's VM did not end as it may"; }
    grep -q ' memory [1-9]' "$T/b/lives" || die "the memory of the hostile guest's VM was not seen"
    await_windows 1
    [ "$(pids_of neighbour)" = "$before" ] || die "a process of the neighbour is not the one it was"
    ((grown <= 16384)) || die "the neighbour's processes grew"
    "$BIN/bulkhead" stop neighbour
    wait "$GUEST_PID"
    expect_status 5 $? "$T/log"
    ! grep -a '^WINDOW' "$T/log" | grep -v 'status=0 errors=0 ' >&2 || die "the neighbour's I/O failed"
    expect_not "$T/log" 'I/O error|needs reset|timed out'
}
