# Warns about the script $2, under the name $1, which zsh cannot parse. $3 is the number of its lines, $4 the path of the
# manifest, and $5 the number of lines in the manifest before the script, or nothing if that is not known.
function _esker_mistake {
    builtin emulate -L zsh
    builtin local said line
    # The script itself may have ended with the status that zsh has for one that it cannot parse.
    said=$(LC_ALL=C builtin command zsh -fn <(builtin print -r -- "$2") 2>&1) && builtin return 0
    line=${${said#*:}%%:*}
    [[ $line == <-> ]] || line=1
    # A missing end is found one line further.
    if (( line > $3 )); then line=$3; fi
    if [[ -n $5 ]]; then line=$4:$(( line + $5 )); else line="line $line of the script, $4"; fi
    builtin print -ru2 -- "! $1 has a syntax error ($line); only the commands before it have run"
}
