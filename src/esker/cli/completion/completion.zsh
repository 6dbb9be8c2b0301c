# The completion of command lines in zsh. The text before it defines _esker_names; _esker_group, which completes the
# subcommands of the group $1; and _esker_command, which completes the arguments of the command $1.

# Completes what the kind $1 has. The environment is that of the option --dir.
_esker_kind() {
    local directory=${(Q)${opt_args[--dir]:-${opt_args[-d]-}}}
    local -a names
    case $1 in
        project)
            names=(${(f)"$(_esker_names project)"})
            if [[ -n ${names-} && ${PREFIX-} != [^/]* ]]; then
                _wanted -V environments expl environment compadd -f -a names
            fi
            _files -/
            ;;
        directory) _files -/ ;;
        file) _files ;;
        *)
            names=(${(f)"$(_esker_names $1 $directory)"})
            _wanted names expl $1 compadd -a names
            ;;
    esac
}
_esker() {
    local context state state_descr line curcontext=$curcontext expl name=
    local -A opt_args
    local -i at=2
    while true; do
        while (( at < CURRENT )) && [[ $words[at] == -* ]]; do (( at++ )); done
        if (( at >= CURRENT )); then
            _esker_group "$name"
            return
        fi
        name+=${name:+ }$words[at]
        (( at++ ))
        if ! _esker_is_group "$name"; then break; fi
    done
    shift $(( at - 2 )) words
    (( CURRENT -= at - 2 ))
    at=${words[(i)--]}
    if (( at < CURRENT )) && _esker_takes_command "$name"; then
        shift $at words
        (( CURRENT -= at ))
        _normal
        return
    fi
    _esker_command "$name"
}
# As a file of fpath this is the body of the function itself.
if [[ ${funcstack[1]-} == _esker ]]; then
    _esker "$@"
elif (( ${+functions[compdef]} )); then
    compdef _esker esker
else
    print -u2 "esker completion zsh: begin completion before this line: autoload -Uz compinit && compinit"
fi
