# SPDX-License-Identifier: Apache-2.0
# bulkhead.bash - completion for bash: what fits is asked of bulkhead itself.
_bulkhead()
{
    local line=${COMP_LINE:0:COMP_POINT} words word kept head candidate files='' COMPREPLY_ALL=()

    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    word=${words[-1]}
    # bash replaces what stands behind the last of these only.
    kept=${word%"${word##*[=:]}"}
    while IFS= read -r candidate; do
        if [[ $candidate == ':files '* ]]; then
            files=yes head=${candidate#':files '}
        else
            COMPREPLY_ALL+=("${candidate%%$'\t'*}")
        fi
    done < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
    if [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r candidate; do
            COMPREPLY_ALL+=("$head$candidate")
        done < <(compgen -f -- "${word#"$head"}")
    fi
    COMPREPLY=("${COMPREPLY_ALL[@]#"$kept"}")
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
}
complete -F _bulkhead bulkhead
