# Has bash ask the command before each prompt, if the directory or a watched file has changed since it asked last.
# $_esker_asked_program is the command. What it prints defines _esker_same, which tests whether nothing has changed.
# shellcheck disable=SC2154 # whoever evaluates this text assigns _esker_asked_program

# A text that is to be evaluated is in $_esker_text, if the status is 0. $_esker_turn is `new` in a shell that has never
# asked, a number if there is more to do, `end` after the last text, and empty at the next prompt.
_esker_asked() {
    if [[ ${_esker_turn-} == end ]]; then
        _esker_turn=
        \builtin return 1
    fi
    if [[ -z ${_esker_turn-} ]] && _esker_same; then
        \builtin return 1
    fi
    # Scripts of the project are evaluated, and none of their commands may end the shell.
    if [[ $- == *e* ]]; then _esker_strict=y; \builtin set +e; fi
    _esker_text=
    if [[ $_esker_asked_program != */* || -x $_esker_asked_program ]]; then
        _esker_text=$(\builtin command "$_esker_asked_program" hook-env bash "${_esker_turn-}" </dev/null)
    fi
    _esker_turn=end
}

# Gives back the status of the last command; under `set -e` a failure would end the shell.
_esker_kept() {
    if [[ -n ${_esker_strict-} ]]; then _esker_strict=; \builtin set -e; fi
    if [[ $- == *e* ]]; then \builtin return 0; fi
    \builtin return "${_esker_status:-0}"
}

if ! \builtin declare -F _esker_same >/dev/null; then
    _esker_same() { \builtin return 1; }
    _esker_turn=new
fi

# This is no function, so that what a profile script declares is the shell's. A shell below may inherit the variable, and
# has no such functions.
# shellcheck disable=SC2016 # it is evaluated at each prompt
_esker_hook='_esker_status=$?; if \builtin declare -F _esker_asked >/dev/null; then while _esker_asked; do '
# shellcheck disable=SC2016
_esker_hook+='\builtin eval "$_esker_text"; done; _esker_kept; fi'
if [[ ${PROMPT_COMMAND[*]-} != *"$_esker_hook"* ]]; then
    # Under `set -u`, bash counts no elements of a text.
    if [[ ${PROMPT_COMMAND[*]-} == "${PROMPT_COMMAND-}" ]]; then
        # shellcheck disable=SC2178,SC2128 # it is a text
        PROMPT_COMMAND=$_esker_hook${PROMPT_COMMAND:+$'\n'$PROMPT_COMMAND}
    else
        PROMPT_COMMAND=("$_esker_hook" "${PROMPT_COMMAND[@]}")
    fi
fi
\builtin unset -v _esker_hook
