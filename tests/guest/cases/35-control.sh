# shellcheck shell=bash
# The host's service, and the guest of a VM that has a named right over another.

# What its right is for it does, over its vsock, with the `bulkhead` of the host; nothing else. The service dies meanwhile: its
# right is the next one's to know.
case_control_vm()
{
    local cmd service
    # shellcheck source=tests/cli/lib.sh
    . "$ROOT/tests/cli/lib.sh"
    cmd=$(script <<'GUEST'
modprobe vmw_vsock_virtio_transport && cat /dev/vda >/b && chmod 755 /b || exit 1
b() { echo "$1: $(/b --service vsock "$@" 2>&1)"; }
b ls --all; b start web; b info web; b stop web; b start web; b start web
b info db; b info ctl; b rm web --force; b create --name x --kernel /k; b console web
b wait web; b ls --all
b ask data
echo OVER; while :; do sleep 9; done
GUEST
    )
    export BULKHEAD_HOST_RUN=$T/run BULKHEAD_HOST_STATE=$T/state BULKHEAD_HOST_CONFIG=$T/config
    make_bzimage "$T/kernel" && halt_kernel "$T/kernel"
    cp "$BIN/bulkhead" "$T/disk" && strip "$T/disk" && truncate -s %4096 "$T/disk"
    cat >"$T/fleet.yaml" <<END
vms:
- {name: web, config: &tiny {payload: {kernel: $T/kernel}, memory: {size: 32M}, rng: {off: true}}}
- {name: db, config: *tiny}
- name: ctl
  config:
    payload: {kernel: $KERNEL, initramfs: $INITRAMFS, cmdline: "$QUIET bh.cmd=$cmd"}
    memory: {size: 256M}
    disks: [{path: $T/disk, readonly: true}]
    vsock: {cid: 42, socket: $T/vsock}
  control: {verbs: [start, stop, info, wait], vms: [web]}
END
    answers() { "$BIN/bulkhead" tenants >/dev/null 2>&1; }
    serve() { "$BIN/bulkhead-hostd" >>"$T/log" 2>&1 </dev/null & service=$!; until_true answers || die "no service"; }
    ctl_says() { "$BIN/bulkhead" logs ctl 2>/dev/null | tr -d '\r' >"$T/ctl"; grep -qE -- "$1" "$T/ctl"; }
    await_ctl() { PATIENCE_S=240 until_true ctl_says "$1" || { show "$T/ctl" "$T/log"; die "ctl does not say '$1'"; }; }
    serve
    "$BIN/bulkhead" fleet plan "$T/fleet.yaml" >"$T/plan" && expect "$T/plan" '^ctl may, over its vsock, start, stop, info, wait: web$'
    "$BIN/bulkhead" fleet up "$T/fleet.yaml" >"$T/said" 2>&1 || { show "$T/said" "$T/log"; die "no fleet"; }
    "$BIN/bulkhead" stop web >"$T/said" || die "web goes on"
    await_ctl '^console: '
    kill -KILL "$service" # and with it the other half
    wait "$service"
    is_over() { [ -z "$(pgrep -x bulkhead-hostd; pgrep -x bulkhead-start)" ]; }
    until_true is_over || die "half a service lives"
    serve
    "$BIN/bulkhead" stop web >"$T/said" || die "web goes on"
    await_ctl '^OVER'
    expect "$T/ctl" '^start: web: running'
    expect "$T/ctl" '^stop: web: stopped'
    expect "$T/ctl" '^start: bulkhead: web runs already'
    expect "$T/ctl" "^info: bulkhead: there is no VM 'db'"
    expect "$T/ctl" "^info: bulkhead: there is no VM 'ctl'"
    expect "$T/ctl" '^(rm|create): bulkhead: this VM has no right to ask for that'
    expect "$T/ctl" '^create: bulkhead: this VM has no right'
    expect "$T/ctl" '^console: bulkhead: vsock: that goes on the host alone'
    expect "$T/ctl" '^wait: web: stopped'
    expect "$T/ctl" '^ask: bulkhead: this VM has no right'
    expect_not "$T/ctl" "$T" # no path of the host
    "$BIN/bulkhead" info ctl >"$T/info" && expect "$T/info" '^  may +start, stop, info, wait: web$'
    no_drift ctl
    "$BIN/bulkhead" fleet down --rm --grace 0 "$T/fleet.yaml" >"$T/said" 2>&1 || { show "$T/said"; die "no end"; }
    kill -TERM "$service" && wait "$service"
}
