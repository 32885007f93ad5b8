# shellcheck shell=bash
# A guest of the host's service, from a manifest: who is not needed for it dies, one after the other, and it doesn't notice.

# serve: the service, in a control group of its own where groups can be had.
serve()
{
    local group=${GROUPS_OF:+$GROUPS_OF/hostd-$$.service}
    GROUP=$group sh -c '[ -z "$GROUP" ] || echo $$ >"$GROUP/cgroup.procs"; exec "$0"' "$BIN/bulkhead-hostd" >>"$T/service.log" 2>&1 </dev/null &
    SERVICE=$!
    PATIENCE_S=120 until_true eval '"$BIN/bulkhead" tenants >/dev/null 2>&1' || { show "$T/service.log"; die "the service doesn't answer"; }
}

# kill_of NAME: that process of the VM's; returns when there is another.
kill_of()
{
    local old
    old=$(pid_of web "$1") || die "no $1 to kill"
    kill -KILL "$old"
    PATIENCE_S=60 until_true eval "pid=\$(pid_of web $1) && [ \"\$pid\" != $old ]" || die "no other $1"
}

# console N: the guest has written N more lines about its I/O.
console_goes_on()
{
    local more=$1 n
    n=$("$BIN/bulkhead" logs web | grep -c IOSTRESS)
    PATIENCE_S=120 until_true eval "[ \$(\"\$BIN/bulkhead\" logs web | grep -c IOSTRESS) -ge $((n + more)) ]" || die "the guest stands still"
}

limits_are_in_force()
{
    local group wanted
    group=$(find "$GROUPS_OF/vms-$$.service" -name 'bulkhead-*' -type d -prune)
    [ -n "$group" ] || die "no group of the VM's beside the service's"
    while read -r file wanted; do
        [ "$(cat "$group/$file")" = "$wanted" ] || die "$file is $(cat "$group/$file"), not $wanted"
    done <<LIMITS
cpu.max 400000 100000
cpu.weight 50
memory.max 1073741824
pids.max 300
LIMITS
}

ram_is_of_huge_pages()
{
    local core
    core=$(pid_of web core)
    awk '/guest-ram/ { ram = 1 } ram && /^KernelPageSize/ { n += $2 == 2048; other += $2 != 2048; ram = 0 } END { exit !n || other }' "/proc/$core/smaps" || die "guest RAM has small pages"
}

case_guest_of_the_service_outlives_all_who_serve_it()
{
    local before limits='' huge='' core
    export BULKHEAD_HOST_RUN=$T/host BULKHEAD_HOST_STATE=$T/state BULKHEAD_HOST_CONFIG=$T/config
    # Pages and groups of a host that others use too are not ours to take.
    if [ -n "${BULKHEAD_IN_HOST:-}" ]; then
        GROUPS_OF=/sys/fs/cgroup
        mkdir "$GROUPS_OF/hostd-$$.service" "$GROUPS_OF/vms-$$.service"
        export BULKHEAD_HOST_GROUP=vms-$$.service
        limits='limits: {cpu_max: "400%", cpu_weight: 50, memory_max: 1G, pids_max: 300}'
        before=$(cat /proc/sys/vm/nr_hugepages) huge=', hugepages: true'
        echo 140 >/proc/sys/vm/nr_hugepages
    fi
    truncate -s 64M "$T/disk"
    truncate -s 4k "$T/flag"
    cat >"$T/fleet.yaml" <<YAML
vms:
- name: web
  config:
    payload: {kernel: $KERNEL, initramfs: $INITRAMFS, cmdline: "$QUIET bh.test=iostress,/dev/vda,600,2,/dev/vdb"}
    memory: {size: 192M$huge}
    disks: [{path: $T/disk}, {path: $T/flag, readonly: true}]
    crash_limit: 50
    $limits
  ready: {console: IOSTRESS, timeout_s: 240}
YAML
    serve
    "$BIN/bulkhead" fleet up "$T/fleet.yaml" >"$T/log" 2>&1 || { show "$T/log" "$T/service.log"; die "fleet up"; }
    core=$(pid_of web core)
    [ -z "$limits" ] || limits_are_in_force
    [ -z "$huge" ] || ram_is_of_huge_pages
    kill -KILL $SERVICE
    wait $SERVICE 2>/dev/null
    serve
    [ "$(pid_of web core)" = "$core" ] || die "another core"
    kill_of broker
    kill_of disk0
    console_goes_on 2
    [ -z "$limits" ] || limits_are_in_force
    no_drift web
    say_go "$T/flag"
    timeout 120 "$BIN/bulkhead" wait web >"$T/log" 2>&1 || { show "$T/log"; die "the guest didn't shut down"; }
    "$BIN/bulkhead" logs web >"$T/console"
    expect "$T/console" 'IOSTRESS verify_errors=0 io_errors=0'
    expect_not "$T/console" 'I/O error|blk_update_request|critical|needs reset|timed out'
    "$BIN/bulkhead" rm web >/dev/null || die "rm"
    kill $SERVICE
    wait $SERVICE || die "the service ended with status $?"
    [ -n "${GROUPS_OF:-}" ] || return 0
    echo "$before" >/proc/sys/vm/nr_hugepages
    find "$GROUPS_OF/hostd-$$.service" "$GROUPS_OF/vms-$$.service" -depth -type d -exec rmdir {} + || die "groups are left"
}
