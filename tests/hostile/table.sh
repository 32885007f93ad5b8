# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# table.sh - what a log of hostile workers says: one row for each device, and what went wrong.

# The log's verdict on each device's actions, and a line about any that went wrong.
hostile_table() # LOG DEVICE...
{
    local log=$1
    shift
    tr -d '\r' <"$log" | awk -v devices="$*" '
        function verdict(d, how) { if (open[d] != "") { n[d, how]++; open[d] = "" } }
        function odd(d, what) { print "ODD " d ": " name[d] ": " what; bad++ }
        match($0, /[a-z0-9]+: hostile: .*/) {
            split(substr($0, RSTART, RLENGTH), w, ": "); d = w[1]
            k = split(substr($0, RSTART + length(d) + 11), f, " ")
            if (f[1] == "try") {
                if (!((d, f[2]) in seen)) n[d, "tried"]++
                seen[d, f[2]] = 1; open[d] = f[3]; name[d] = f[4]
            } else if (f[1] == "all") total[d] = f[2]
            else if (f[3] == "SUCCEEDED") { odd(d, "succeeded"); n[d, "succeeded"]++; open[d] = "" }
            else if (f[3] == "BROKEN") { odd(d, "the control failed"); open[d] = "" }
            else if (f[3] == "denied:") verdict(d, open[d] == "message" || open[d] == "lie" ? "broker" : "errno") # hung up
            else if (f[3] == "done") verdict(d, open[d] == "control" ? "control" : "nuisance")
            next
        }
        match($0, /[a-z0-9]+ died: .*/) {
            text = substr($0, RSTART, RLENGTH); split(text, w, " "); d = w[1]
            if (open[d] == "") next
            if (open[d] == "nuisance") verdict(d, "nuisance")
            else if (text ~ /forbidden system call/) verdict(d, "seccomp")
            else if ((open[d] == "message" || open[d] == "lie") &&
                text ~ /broke the protocol|announced another|did not leave in time/) verdict(d, "broker")
            else { odd(d, text); open[d] = "" }
        }
        END {
            k = split(devices, list, " ")
            printf "%-8s %6s %8s %6s %7s %9s %10s\n", "device", "tried", "seccomp", "errno", "broker", "nuisance", "succeeded"
            for (i = 1; i <= k; i++) {
                d = list[i]
                printf "%-8s %6d %8d %6d %7d %9d %10d\n", d, n[d, "tried"], n[d, "seccomp"], n[d, "errno"], n[d, "broker"], n[d, "nuisance"], n[d, "succeeded"]
                if (n[d, "tried"] != total[d] || total[d] == 0) { print "ODD " d ": " n[d, "tried"] " of " total[d] " tried"; bad++ }
                if (n[d, "seccomp"] + n[d, "errno"] + n[d, "broker"] + n[d, "nuisance"] + n[d, "control"] + n[d, "succeeded"] < total[d]) {
                    print "ODD " d ": actions without a verdict"; bad++
                }
            }
            exit bad > 0
        }'
}

# give_orders PROGRAM ORDERS: writes into that copy of a hostile program what its path would say, had it a /proc to look it up.
give_orders()
{
    local at
    at=$(LC_ALL=C grep -abo 'ORDERS-GO-HERE' "$1" | sed -n '1s/:.*//p')
    printf '%s\0' "$2" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>/dev/null
}
