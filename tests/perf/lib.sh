# shellcheck shell=bash
# lib.sh - what the benchmarks share: medians, tables, JSON, memory of a process tree.
# Figures are only ever compared within one run: this machine, this hour, the same guest.

# Sorts numbers and prints "median min max".
stats() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 }
    END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; print m, v[1], v[NR] }'; }

# ratio A B: A / B with two digits, "-" when there is no B.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

# All descendants of a process, itself included.
tree_of()
{
    local pid=$1 child
    echo "$pid"
    # shellcheck disable=SC2013
    for child in $(cat "/proc/$pid/task/"*/children 2>/dev/null); do tree_of "$child"; done
}

# KiB of PSS of these processes without the mappings of guest RAM (a memfd named guest-ram or
# memory-backend-memfd).
pss_kib()
{
    local pid
    for pid in "$@"; do cat "/proc/$pid/smaps" 2>/dev/null; done | awk '
        /^[0-9a-f]+-[0-9a-f]+ / { ram = /memfd:(guest-ram|memory-backend-memfd)/ }
        /^Pss:/ && !ram { sum += $2 }
        END { print sum + 0 }'
}

# row FORMAT... : appends a JSON object to $JSON_ROWS (name, then key value pairs; numbers bare).
JSON_ROWS=()
json_row()
{
    local out="{\"name\": \"$1\"" key
    shift
    while (($# > 1)); do
        key=$1
        [[ $2 =~ ^-?[0-9]+([.][0-9]+)?$ ]] && out+=", \"$key\": $2" || out+=", \"$key\": \"$2\""
        shift 2
    done
    JSON_ROWS+=("$out}")
}

json_flush() # BENCHMARK FILE
{
    local i
    {
        printf '{"benchmark": "%s", "results": [\n' "$1"
        for i in "${!JSON_ROWS[@]}"; do
            printf '  %s%s\n' "${JSON_ROWS[$i]}" "$([ "$i" -lt $((${#JSON_ROWS[@]} - 1)) ] && echo ,)"
        done
        printf ']}\n'
    } | tee "$2" >/dev/null
    JSON_ROWS=()
}

# What perf_blk and perf_net print: SIDE POINT ROUND RATE MB/S CPU-US KICKS INTERRUPTS, the last three
# for each request. ring_column FILE SIDE POINT FIELD: median, least, greatest.
ring_column()
{
    # shellcheck disable=SC2046
    stats $(awk -v s="$2" -v p="$3" -v f="$4" '$1 == s && $2 == p { print $f }' "$1")
}

# ring_table NAME FILE OTHER [MOST]: a table of Bulkhead against the side OTHER, and rows for the JSON.
# MOST: a side that shows what there is to get; how much of that both get.
ring_table()
{
    local name=$1 file=$2 other=$3 most=${4:-} points point m lo hi om olo ohi cpu ocpu side share
    printf '\n%-22s %-30s %-30s %6s  %-13s %6s  %s\n' "$name" "Bulkhead, 1/s" "$other, 1/s" ratio \
        "CPU us/each" ratio "${most:+of $most}"
    mapfile -t points < <(awk '!seen[$2]++ { print $2 }' "$file")
    for point in "${points[@]}"; do
        read -r m lo hi <<<"$(ring_column "$file" bulkhead "$point" 4)"
        read -r om olo ohi <<<"$(ring_column "$file" "$other" "$point" 4)"
        read -r cpu _ <<<"$(ring_column "$file" bulkhead "$point" 6)"
        read -r ocpu _ <<<"$(ring_column "$file" "$other" "$point" 6)"
        share=
        if [[ -n $most ]]; then
            read -r side _ <<<"$(ring_column "$file" "$most" "$point" 4)"
            share="$(ratio "$m" "$side") / $(ratio "$om" "$side")"
        fi
        printf '  %-20s %-30s %-30s %6s  %5.1f / %5.1f %6s  %s\n' "$point" "$m ($lo - $hi)" \
            "$om ($olo - $ohi)" "$(ratio "$m" "$om")" "$cpu" "$ocpu" "$(ratio "$cpu" "$ocpu")" "$share"
        local row=(rate "$m" rate_min "$lo" rate_max "$hi" "${other}_rate" "$om" "${other}_rate_min" "$olo"
            "${other}_rate_max" "$ohi" ratio "$(ratio "$m" "$om")" cpu_us "$cpu" "${other}_cpu_us" "$ocpu"
            cpu_ratio "$(ratio "$cpu" "$ocpu")")
        [[ -z $most ]] || row+=("${most}_rate" "$side")
        for side in bulkhead "$other"; do
            read -r m _ <<<"$(ring_column "$file" "$side" "$point" 7)"
            read -r om _ <<<"$(ring_column "$file" "$side" "$point" 8)"
            row+=("${side}_kicks" "$m" "${side}_interrupts" "$om")
        done
        json_row "$name/$point" "${row[@]}"
    done
}
