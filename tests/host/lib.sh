# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - what the scripts of the emulated host and the guest image share. Sourced, never run.

# The repository's root, wherever the caller is.
project_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

# kernel_version: the newest cloud kernel that is installed with its modules.
kernel_version()
{
    local dir best=

    for dir in /lib/modules/*-cloud-amd64; do
        [[ -e /boot/vmlinuz-${dir##*/} ]] || continue
        best=$(printf '%s\n' "$best" "${dir##*/}" | sort -V | tail -n 1)
    done
    [[ -n $best ]] && printf '%s\n' "$best"
}

# host_has_kvm: can this machine's /dev/kvm boot a Linux guest? A device node proves nothing (some
# sandboxes have one that emulates a handful of instructions), so ask bulkhead, which tries. Never
# try it with the shell's <>: that makes a file where there is none.
host_has_kvm()
{
    local bin=${BULKHEAD_BIN:-$project_root/build/release/bin}

    [[ -z ${BULKHEAD_IN_HOST:-} ]] || return 0
    [[ ${BULKHEAD_HOST:-} != direct ]] || return 0
    [[ ${BULKHEAD_HOST:-} != emulated ]] || return 1
    [[ -e /dev/kvm && -x $bin/bulkhead ]] || return 1
    "$bin/bulkhead" doctor --kvm-only >/dev/null 2>&1 </dev/null
}

# needs_kvm SCRIPT: for a test that runs guest code and was started by hand where that can't be.
# ./dev test doesn't get here: it starts such tests in the emulated host then.
needs_kvm()
{
    ! host_has_kvm || return 0
    echo "$1: no guest can run here ('bulkhead doctor' says why): start it with tests/host/run" >&2
    exit 77
}

# files_hash FILE...: one hash over the names and contents of files (directories are walked).
files_hash()
{
    find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
}

# copy_modules KVER DESTDIR MODULE...: copy modules and what they depend on, write modules.dep.
# Built-in modules cost nothing; a name that the kernel doesn't know is an error.
copy_modules()
{
    local kver=$1 dest=$2 path
    shift 2

    mkdir -p "$dest/lib/modules/$kver"
    cp "/lib/modules/$kver/modules.order" "/lib/modules/$kver/modules.builtin" \
        "/lib/modules/$kver/modules.builtin.modinfo" "$dest/lib/modules/$kver/"
    modprobe -S "$kver" --show-depends --all "$@" | sed -n 's/^insmod //p' | sort -u |
        while read -r path; do
            install -D -m 644 "$path" "$dest$path"
        done
    [[ ${PIPESTATUS[0]} -eq 0 ]] || return 1
    depmod -b "$dest" "$kver"
    rm -f "$dest/lib/modules/$kver"/modules.{order,builtin,builtin.modinfo,symbols,devname,softdep} \
        "$dest/lib/modules/$kver"/modules.*.bin
}

# make_cpio DIR: DIR as an initramfs on stdout, owned by root, the same bytes for the same tree.
make_cpio()
{
    (cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
        cpio --null --create --format=newc --owner=0:0 --reproducible --quiet)
}
