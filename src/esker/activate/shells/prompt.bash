# Puts the names of the active environments in front of an interactive shell's prompt, or of the prompt's second line.
# $_esker_program is the name that the prompt shows unless FLOX_PROMPT gives another.
# shellcheck disable=SC2016 # the prompt expands these variables each time it is shown
# shellcheck disable=SC2154 # whoever evaluates this text assigns _esker_program

# Whether the user has made a variable read-only. It stays as it is, because an assignment would be an error.
_esker_is_fixed() {
    \builtin local declared
    declared=$(\builtin declare -p "$1" 2>/dev/null)
    declared=${declared#declare -}
    [[ ${declared%% *} == *r* ]]
}
if [[ $- == *i* ]] && ! _esker_is_fixed PS1; then
    if [[ -n ${NO_COLOR-} ]]; then
        _esker_prompt='${FLOX_PROMPT-'$_esker_program'} [${FLOX_PROMPT_ENVIRONMENTS-}] '
    else
        # `\[` and `\]` tell bash which characters take no room on the line.
        _esker_prompt='\[\e[1;38;5;${FLOX_PROMPT_COLOR_1-99}m\]${FLOX_PROMPT-'$_esker_program'} '
        _esker_prompt+='\[\e[1;38;5;${FLOX_PROMPT_COLOR_2-141}m\][${FLOX_PROMPT_ENVIRONMENTS-}]\[\e[0m\] '
    fi
    # A prompt that shows the names already is left alone. An outer environment has put them there, or the user.
    _esker_again() {
        \builtin local status=$?
        if [[ ${PS1-} != *'${FLOX_PROMPT_ENVIRONMENTS-}'* ]]; then
            FLOX_SAVE_BASH_PS1=${PS1-}
            # In a prompt with several lines, which the escape `\n` separates, the names go to the beginning of the
            # second line.
            case $FLOX_SAVE_BASH_PS1 in
                *'\n'*) PS1=${FLOX_SAVE_BASH_PS1%%'\n'*}'\n'$_esker_prompt${FLOX_SAVE_BASH_PS1#*'\n'} ;;
                *) PS1=$_esker_prompt$FLOX_SAVE_BASH_PS1 ;;
            esac
            _esker_prompted=$PS1
        fi
        # Under `set -e`, a status of failure would end the shell.
        if [[ $- == *e* ]]; then status=0; fi
        \builtin return "$status"
    }
    _esker_again
    # A PROMPT_COMMAND may make the prompt anew each time, so the names are put into it after it has run. It may be
    # exported, and then a shell below has no such function.
    _esker_last='[[ -z ${_esker_prompt-} ]] || _esker_again'
    if [[ -n ${PROMPT_COMMAND[*]-} && ${PROMPT_COMMAND[*]-} != *"$_esker_last"* ]] && ! _esker_is_fixed PROMPT_COMMAND; then
        # Under `set -u`, bash counts no elements of a text.
        if [[ ${PROMPT_COMMAND[*]-} == "${PROMPT_COMMAND-}" ]]; then
            PROMPT_COMMAND+=$'\n'$_esker_last
        else
            PROMPT_COMMAND+=("$_esker_last")
        fi
    fi
fi
\builtin unset -f _esker_is_fixed
\builtin unset -v _esker_program
