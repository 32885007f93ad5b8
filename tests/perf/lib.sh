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
