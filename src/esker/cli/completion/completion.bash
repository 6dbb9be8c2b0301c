# The completion of command lines in bash, from version 3.2. The text before it defines _esker_names, and _esker_command,
# which assigns what it knows of the command $1: `command`, its name; `group`, which is empty unless a subcommand follows;
# `options`; `values`, with a word NAME=KIND for each option that takes a value; `arguments`, with the kind of each
# argument, of which the last one may be repeated.
# A kind that begins with a colon lists the possible words, with bars between them.
# shellcheck disable=SC2154 # _esker_command assigns these variables
# shellcheck disable=SC2207 # no candidate has a blank

# Adds those of the words after it that begin with the text $1 to the candidates.
_esker_offer() {
    local start=$1 word
    shift
    for word in "$@"; do
        # What stands here is inserted as it is, and never evaluated, as `compgen -W` would do.
        if [[ $word == "$start"* ]]; then COMPREPLY+=("$_esker_joined$word"); fi
    done
}
# Adds what the kind $1 has and what begins with $2; $3 is the project directory.
_esker_offer_kind() {
    local IFS=$'\n' names
    case $1 in
        :*)
            IFS='|'
            # shellcheck disable=SC2086 # to be split
            _esker_offer "$2" ${1#:}
            ;;
        service | declared | locked | program)
            while read -r names; do _esker_offer "$2" "$names"; done < <(_esker_names "$1" "$3")
            ;;
        project | directory)
            if [[ $1 == project && ( -z $2 || $2 == /* ) ]]; then
                while read -r names; do
                    # Before bash 4 nothing quotes the characters of a path.
                    if ! compopt -o filenames 2>/dev/null; then builtin printf -v names %q "$names"; fi
                    _esker_offer "$2" "$names"
                done < <(_esker_names project)
            fi
            compopt -o filenames -o plusdirs 2>/dev/null || COMPREPLY+=($(compgen -d -- "$2"))
            ;;
        file) compopt -o default 2>/dev/null || COMPREPLY+=($(compgen -f -- "$2")) ;;
    esac
}
# Completes the command line that begins at the word $1, behind `--`.
_esker_offer_command() {
    local IFS=$'\n' name
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD > $1)); then
        compopt -o default 2>/dev/null || COMPREPLY+=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
    else
        while read -r name; do
            _esker_offer "${COMP_WORDS[COMP_CWORD]}" "$name"
        done < <(_esker_names program "$2")
        COMPREPLY+=($(compgen -c -- "${COMP_WORDS[COMP_CWORD]}"))
    fi
}
_esker() {
    local command='' group='' options='' values='' arguments='' IFS=$' \t\n'
    local _esker_joined='' option='' directory='' kind='' word current=${COMP_WORDS[COMP_CWORD]}
    local -i at=1 position=0
    local -a kinds
    COMPREPLY=()
    _esker_command ''
    while ((at < COMP_CWORD)); do
        word=${COMP_WORDS[at]}
        ((at++)) || :
        if [[ -n $option ]]; then
            # Bash takes `--for=healthy` apart at its sign.
            if [[ $word == = ]]; then continue; fi
            if [[ $option == -d || $option == --dir ]]; then directory=$word; fi
            option=''
        elif [[ $word == -- && $arguments == command ]]; then
            _esker_offer_command "$at" "$directory"
            return
        elif [[ $word == --dir=* ]]; then
            directory=${word#*=}
        elif [[ $word == -* ]]; then
            if [[ " $values" == *" $word="* ]]; then option=$word; fi
        elif [[ -n $group ]]; then
            _esker_command "${command:+$command }$word"
        else
            ((position++)) || :
        fi
    done
    directory=${directory//[\\\"\']/}
    if [[ $current == = ]]; then current=''; fi
    if [[ -z $option && $current == --*=* ]]; then
        option=${current%%=*}
        _esker_joined=$option=
        current=${current#*=}
        if [[ " $values" != *" $option="* ]]; then return; fi
    fi
    if [[ -n $option ]]; then
        kind=" $values"
        kind=${kind#*" $option="}
        kind=${kind%% *}
    elif [[ $current == -* ]]; then
        # shellcheck disable=SC2086 # to be split
        _esker_offer "$current" $options
        return
    else
        # shellcheck disable=SC2206 # to be split
        kinds=($arguments)
        if ((position >= ${#kinds[@]})); then ((position = ${#kinds[@]} - 1)) || :; fi
        if ((position >= 0)); then kind=${kinds[position]}; fi
    fi
    _esker_offer_kind "$kind" "$current" "$directory"
}
complete -F _esker esker
