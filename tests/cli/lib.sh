# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - refuses(): a command that must fail with one clear line, status 2, and nothing left.
# Used by bad-input and by the guest cases of the same kind. The caller sets $T, a folder of its
# own, and $BIN.

# shellcheck source=tests/host/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../host/lib.sh"
# shellcheck source=tests/host/wait.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../host/wait.sh"

# own_network ARGUMENT...: starts the script, whose arguments these are, again in a network namespace of
# its own: no interface of the host is touched, and passt finds what it takes for the way out, whatever
# the host has. Without root it stays in the host's.
own_network()
{
    [ "$(id -u)" = 0 ] || return 0
    [ -n "${OWN_NETWORK:-}" ] || exec unshare --net --mount --propagation private -- env OWN_NETWORK=1 "$0" "$@"
    unset OWN_NETWORK
    ip link set lo up && ip tuntap add uplink mode tap && ip addr add 10.99.0.2/24 dev uplink &&
        ip link set uplink up && ip route add default via 10.99.0.1 dev uplink && own_sys ||
        { echo "${0##*/}: no network namespace" >&2; exit 2; }
}
# The interfaces in /sys are those of who mounted it. The control groups below are kept.
own_sys()
{
    local groups
    exec {groups}</sys/fs/cgroup
    mount -t sysfs sysfs /sys && mount --no-canonicalize --rbind "/proc/self/fd/$groups" /sys/fs/cgroup
    exec {groups}<&-
}

# Processes of $BIN, however they were started and whatever they call themselves.
processes_of() { find /proc/[0-9]*/exe -maxdepth 0 -lname "$1/*" 2>/dev/null; }

# processes_in FILE: "PID NAME" for each row of what `bulkhead ps VM` printed. Its last line may say what the sandbox is without.
processes_in() { awk 'NR > 2 && $3 ~ /^[0-9]+$/ { print $3, $2 }' "$1"; }

# What must be the same after a command that failed: files below $T, mounts there, processes.
traces()
{
    local dir
    find "$T" /proc/[0-9]*/exe \( -path "$T/?*" ! -path "$T/io/*" ! -path "$T/io" -printf '%y %P\n' \) \
        -o \( -path '/proc/*' -lname "$BIN/*" -print \) 2>/dev/null | sort
    while read -r _ dir _; do [[ $dir != "$T"* ]] || echo "mount $dir"; done </proc/self/mounts
    for dir in /sys/class/net/bhbad*; do [ ! -e "$dir" ] || echo "$dir"; done
}

# why_not TEXT STATUS ERE: nothing when stderr is one good line that matches, else the reason.
why_not()
{
    local lines LC_ALL=C
    mapfile lines <"$1"
    if [ "$2" != 2 ]; then echo "status $2, not 2"
    elif [ ${#lines[@]} != 1 ] || [[ ${lines[0]} != *$'\n' ]]; then echo "${#lines[@]} lines on stderr, or no end of it"
    elif [[ ${lines[0]} != 'bulkhead: '* ]]; then echo "the line does not begin with 'bulkhead: '"
    elif ! [[ ${lines[0]%$'\n'} =~ $3 ]]; then echo "the line does not match '$3'"
    elif [[ ${lines[0]%$'\n'} == *[^\ -~]* ]]; then echo "the line has unprintable bytes"
    fi
}

# refuses NAME ERE COMMAND...: runs it; prints ok or FAIL and counts in $failed. There is no grace
# for what is left: when the command has ended, everything has.
refuses()
{
    local name=$1 regex=$2 before after status why
    shift 2
    [[ $name =~ ${only:-.} ]] || return 0
    before=$(traces)
    timeout --kill-after=5 "${REFUSE_TIMEOUT:-120}" "$@" <"${REFUSE_STDIN:-/dev/null}" >"$T/io/out" 2>"$T/io/err"
    status=$?
    after=$(traces)
    why=$(why_not "$T/io/err" "$status" "$regex")
    [ -n "$why" ] || [ ! -s "$T/io/out" ] || why="something on stdout: $(head -1 "$T/io/out")"
    [ -n "$why" ] || [ "$before" = "$after" ] || why="left behind: $(diff <(echo "$before") <(echo "$after") | grep '^[<>]' | tr '\n' ' ')"
    if [ -z "$why" ]; then
        echo "ok $name"
        [ -z "${REFUSE_SHOW:-}" ] || sed 's/^/  | /' "$T/io/err"
        return 0
    fi
    failed=$((failed + 1))
    echo "FAIL $name: $why"
    sed 's/^/  | /' "$T/io/err" | sed -n 1,5p
    return 0
}

# ---- kernels that are none. Each makes one file.

# le VALUE BYTES: $bytes, little endian, for printf's use.
le() { local i byte; bytes=''; for ((i = 0; i < $2; i++)); do printf -v byte '\\x%02x' $((($1 >> (8 * i)) & 255)); bytes+=$byte; done; }
# poke FILE OFFSET VALUE BYTES
poke() { local bytes; le "$3" "$4"; printf "$bytes" | dd of="$1" bs=8 oflag=seek_bytes seek="$2" conv=notrunc status=none; }
poke_text() { printf %s "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# A bzImage's header: protocol 2.15, 64-bit entry, one setup sector of four, 64 KiB of code.
make_bzimage() # FILE
{
    local header='' bytes
    # put OFFSET VALUE BYTES: after what there is, from 0x1f1 on.
    put()
    {
        local gap=$(($1 - 0x1f1 - ${#header} / 4))
        while ((gap-- > 0)); do header+='\x00'; done
        le "$2" "$3"
        header+=$bytes
    }
    put 0x1f1 4 1          # setup_sects
    put 0x1f4 4096 4       # syssize, in 16 bytes
    put 0x1fe 0xaa55 2
    put 0x200 0x6aeb 2     # a jump that ends the header at 0x26c
    put 0x202 0x53726448 4 # HdrS
    put 0x206 0x20f 2
    put 0x211 1 1          # loaded high
    put 0x22c 0x7fffffff 4
    put 0x230 0x200000 4
    put 0x234 1 1
    put 0x236 0x3f 2       # xloadflags
    put 0x238 2047 4
    put 0x258 0x1000000 8
    put 0x260 0x100000 4
    head -c 68096 /dev/zero >"$1"
    printf "$header" | dd of="$1" bs=256 oflag=seek_bytes seek=$((0x1f1)) conv=notrunc status=none
}

# A kernel that make_bzimage() made: cli; hlt; and back to the hlt.
halt_kernel() { poke "$1" $((0xc00)) $((0xfdebf4fa)) 4; } # FILE
# mov dx, 0x600 (the sleep control register); mov al, 0x34 (S5, sleep enable); out dx, al; hlt; back
power_off_kernel() # FILE
{
    poke "$1" $((0xc00)) $((0xb00600ba66)) 5
    poke "$1" $((0xc05)) $((0xfdebf4ee34)) 5
}
# mov dx, 0xcf9 (the reset control register); mov al, 6; out dx, al; hlt; back
reboot_kernel() # FILE
{
    poke "$1" $((0xc00)) $((0xb00cf9ba66)) 5
    poke "$1" $((0xc05)) $((0xfdebf4ee06)) 5
}

# lea rsi, [text]; mov dx, 0x3f8 (the serial port); lodsb; out dx, al until a zero; hlt
talk_kernel() # FILE TEXT
{
    printf '\xfa\x48\x8d\x35\x0f\0\0\0\x66\xba\xf8\x03\xac\x84\xc0\x74\x03\xee\xeb\xf8\xf4\xeb\xfd%s\0' "$2" |
        dd of="$1" bs=1 seek=$((0xc00)) conv=notrunc status=none
}

make_elf() # FILE MACHINE CLASS(1 = 32 bits, 2 = 64)
{
    head -c 8192 /dev/zero >"$1"
    printf '\x7fELF' | dd of="$1" conv=notrunc status=none
    poke "$1" 4 "$3" 1
    poke "$1" 5 1 1
    poke "$1" 6 1 1
    poke "$1" 16 2 2                  # an executable
    poke "$1" 18 "$2" 2
    poke "$1" 20 1 4
    poke "$1" 32 64 8                 # program headers
    poke "$1" 52 64 2
    poke "$1" 54 56 2
    poke "$1" 56 1 2
    poke "$1" 64 1 4                  # one segment: a page at 1 MiB
    poke "$1" 72 4096 8
    poke "$1" 88 $((0x100000)) 8
    poke "$1" 96 4096 8
    poke "$1" 104 4096 8
}

# All that the loader refuses, in a VM of 64 MiB; RUN is the array of the command.
refuse_kernels()
{
    local k=$T/kernels run=("$BIN/bulkhead" run --serial null --memory size=64M)
    mkdir -p "$k"
    make_bzimage "$k/good"
    head -c 300 "$k/good" >"$k/stub"
    head -c 1200 "$k/good" >"$k/header-only"
    head -c 40000 "$k/good" >"$k/truncated"
    yes 'this is not a kernel' | head -c 70000 >"$k/text"
    cp "$k/good" "$k/no-64"; poke "$k/no-64" $((0x236)) 0 2
    cp "$k/good" "$k/old"; poke "$k/old" $((0x206)) $((0x204)) 2
    head -c 70000 /dev/zero >"$k/arm64"; poke_text "$k/arm64" 0 MZ; poke_text "$k/arm64" 56 'ARMd'
    make_elf "$k/aarch64.elf" 183 2
    make_elf "$k/i386.elf" 3 1
    make_elf "$k/no-note.elf" 62 2
    head -c 5000 "$k/no-note.elf" >"$k/cut.elf"
    head -c 100 "$k/no-note.elf" >"$k/stub.elf"
    cp "$k/good" "$k/large"; poke "$k/large" $((0x260)) $((0x10000000)) 4
    truncate -s 1G "$k/initramfs"
    echo x >"$k/small-initramfs"
    refuses bad_kernel_stub 'kernel' "${run[@]}" --kernel "$k/stub"
    refuses bad_kernel_cut_after_header 'kernel is truncated' "${run[@]}" --kernel "$k/header-only"
    refuses bad_kernel_truncated 'kernel is truncated: it has [0-9]+ of [0-9]+ bytes' "${run[@]}" --kernel "$k/truncated"
    refuses bad_kernel_text 'neither a bzImage nor an ELF' "${run[@]}" --kernel "$k/text"
    refuses bad_kernel_arm64_image 'kernel' "${run[@]}" --kernel "$k/arm64"
    refuses bad_kernel_32_bit '32-bit' "${run[@]}" --kernel "$k/no-64"
    refuses bad_kernel_old_protocol 'too old' "${run[@]}" --kernel "$k/old"
    refuses bad_kernel_aarch64_elf 'another architecture: x86-64' "${run[@]}" --kernel "$k/aarch64.elf"
    refuses bad_kernel_i386_elf 'another architecture: x86-64' "${run[@]}" --kernel "$k/i386.elf"
    refuses bad_kernel_without_note 'without a PVH' "${run[@]}" --kernel "$k/no-note.elf"
    refuses bad_kernel_elf_cut 'truncated' "${run[@]}" --kernel "$k/cut.elf"
    refuses bad_kernel_elf_stub 'has only 100 bytes' "${run[@]}" --kernel "$k/stub.elf"
    refuses bad_kernel_too_large 'give the guest more \(--memory\)' "${run[@]}" --kernel "$k/large"
    refuses bad_initramfs_too_large 'initramfs.*--memory' "${run[@]}" --kernel "$k/good" --initramfs "$k/initramfs"
    cp "$k/good" "$k/short"; poke "$k/short" $((0x238)) 100 4
    refuses bad_cmdline_too_long 'the command line has 200 bytes, at most 100' "${run[@]}" --kernel "$k/short" --cmdline "$(head -c 200 /dev/zero | tr '\0' a)"
}

# ---- a process that dies while the VM starts

# gone: no process of $BIN, an empty run directory; waits up to $1 tenths of a second.
gone()
{
    local i left
    for ((i = 0; i < $1; i++)); do
        left=$(processes_of "$BIN"; find "$BULKHEAD_RUNDIR" -mindepth 1)
        [ -n "$left" ] || return 0
        sleep "$POLL"
    done
    echo "left behind: $(for i in $left; do echo "$i $(cat "${i%/exe}/comm" 2>/dev/null)"; done | tr '\n' ';')"
    return 1
}

# pid_in VM PROCESS
pid_in()
{
    [[ $("$BIN/bulkhead" ps "$1" --json 2>/dev/null) =~ \"name\":\ *\"$2\"[^{]*\"pid\":\ *([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}

# nonblocking PID FD: is it open with O_NONBLOCK?
nonblocking() { (($(sed -n 's/^flags:[[:space:]]*//p' "/proc/$1/fdinfo/$2") & 04000)); }

program_of()
{
    case $1 in
    spawner) echo spawner ;;
    serial) echo bulkhead-dev-console ;;
    disk*) echo bulkhead-dev-blk ;;
    core | loader | broker) echo "bulkhead-$1" ;;
    *) echo "bulkhead-dev-$1" ;;
    esac
}

# What the user must be told when PROCESS was killed.
names_the_dead()
{
    case $1 in
    broker) echo "the broker (of 'kill' ended unexpectedly|died while the VM started)" ;;
    spawner) echo 'the spawner died' ;;
    core) echo 'the core died' ;;
    loader) echo 'the loader died: .*killed by signal 9' ;;
    *) echo "$1 \\($(program_of "$1")\\) died while starting: .*killed by signal 9" ;;
    esac
}

# after_kill PROCESS PID CLI: waits for the end of `run`, or until the VM runs with a PROCESS that
# is not PID, and then stops it. Sets $outcome.
after_kill()
{
    local i pid
    outcome=''
    for ((i = 0; i < 300; i++)); do
        kill -0 "$3" 2>/dev/null || break
        if grep -q '"booted"' "$T/io/events" 2>/dev/null; then
            pid=$(pid_in kill "$1")
            if [ "$2" = late ] || { [ -n "$pid" ] && [ "$pid" != "$2" ]; }; then
                "$BIN/bulkhead" stop kill >/dev/null 2>&1 && outcome=went-on
                break
            fi
        fi
        sleep "$POLL"
    done
    ((i < 300)) || { outcome=hung; kill -KILL "$3"; }
}

# A guest that runs survives its broker, and ends with its core. False when it didn't run.
end_orphans()
{
    local core
    grep -q '"booted"' "$T/io/events" || return 1
    core=$(processes_of "$BIN" | while read -r exe; do [ "$(readlink "$exe")" != "$BIN/bulkhead-core" ] || basename "${exe%/exe}"; done | sed -n 1p)
    [ -n "$core" ] && kill -KILL "$core"
}

# next_vm FLAG...: a VM of the same name runs and is stopped. What a killed spawner left is its to remove: a
# broker in its sandbox can't.
next_vm()
{
    local i
    "$BIN/bulkhead" run --name kill "$@" </dev/null >"$T/io/next" 2>&1 &
    for ((i = 0; i < 600; i++)); do
        "$BIN/bulkhead" ps kill 2>/dev/null | grep '^kill: running' >/dev/null && break
        kill -0 $! 2>/dev/null || break
        sleep "$POLL"
    done
    "$BIN/bulkhead" stop kill >/dev/null
    wait $!
    [ $? = 5 ]
}

# kill_start PROCESS DELAY_MS FLAG...: starts a VM, kills PROCESS that long after it appeared.
# Prints one line, counts in $failed.
kill_start()
{
    local process=$1 delay=$2 name=kill_$1_after_$2_ms cli pid status why='' left outcome
    shift 2
    [[ $name =~ ${only:-.} ]] || return 0
    rm -f "$T/io/events"
    "$BIN/bulkhead" run --name kill --event-monitor "path=$T/io/events" "$@" </dev/null >"$T/io/out" 2>"$T/io/err" &
    cli=$!
    pid=$("${BASH_SOURCE[0]%/*}/kill-when" "$BIN" "$(program_of "$process")" "$delay" "$cli" "$T/io/events" 2>&1)
    after_kill "$process" "$pid" "$cli"
    wait "$cli" 2>/dev/null
    status=$?
    case $outcome:$status in
    hung:*) why="neither ended nor went on within 30 s" ;;
    went-on:5)
        case $process in
        broker) ;; # another one took over
        core | spawner) [ "$pid" = late ] || why="the VM went on without its $process" ;;
        loader) [ "$pid" = late ] || why="the VM went on although its loader was killed" ;;
        esac
        ;;
    :1)
        [ "$pid" != late ] || why="ended although nothing was killed"
        grep -qE "^bulkhead: .*$(names_the_dead "$process")" "$T/io/err" || why="the message doesn't name the $process"
        ;;
    *) why="status $status${outcome:+, $outcome}" ;;
    esac
    if [ "$process" = broker ] && ! left=$(gone "$(grep -q '"booted"' "$T/io/events" && echo 5 || echo 50)") && ! end_orphans; then
        why="${why:+$why; }$left"
    fi
    [ "$process" != spawner ] || next_vm "$@" || why="${why:+$why; }no VM of that name can follow: $(head -1 "$T/io/next")"
    left=$(gone 50) || why="${why:+$why; }$left"
    if [ -z "$why" ]; then
        echo "ok $name (${outcome:-ended, status 1})"
        [ -z "${REFUSE_SHOW:-}" ] || sed 's/^/  | /' "$T/io/err"
        return 0
    fi
    failed=$((failed + 1))
    echo "FAIL $name: killed '$pid': $why"
    sed 's/^/  | /' "$T/io/err" | sed -n 1,8p
    processes_of "$BIN" | while read -r exe; do kill -KILL "$(basename "${exe%/exe}")"; done 2>/dev/null
    find "$BULKHEAD_RUNDIR" -mindepth 1 -delete
    return 0
}
