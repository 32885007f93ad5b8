# SPDX-License-Identifier: Apache-2.0
# bulkhead.fish - completion for fish: what fits is asked of bulkhead itself.
function __bulkhead_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    for line in ($words[1] complete $words[2..-1] "$word" 2>/dev/null)
        if string match -q ':files *' -- $line
            set -l head (string replace -r '^:files ' '' -- $line)
            set -l rest (string sub -s (math (string length -- "$head") + 1) -- "$word")
            for file in (__fish_complete_path "$rest")
                echo "$head$file"
            end
        else
            echo $line
        end
    end
end
complete -c bulkhead -f -a '(__bulkhead_complete)'
