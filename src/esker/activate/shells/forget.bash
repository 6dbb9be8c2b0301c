# Gives an interactive shell its own prompt again, and removes the variables that Esker keeps in a shell.
# shellcheck disable=SC2154 # prompt.bash assigns these variables

if [[ -n ${FLOX_SAVE_BASH_PS1+x} ]]; then
    if [[ ${PS1-} == "${_esker_prompted-}" ]]; then
        PS1=$FLOX_SAVE_BASH_PS1
    else
        # The prompt was changed since; only the names go.
        PS1=${PS1/"${_esker_prompt-}"/}
    fi
fi
if [[ -n ${_esker_last-} && ${PROMPT_COMMAND[*]-} == *"$_esker_last"* ]]; then
    # Without an index this is the first element of a list, and a text stays a text.
    # shellcheck disable=SC2178
    PROMPT_COMMAND=${PROMPT_COMMAND/$'\n'"$_esker_last"/}
    for _esker_index in "${!PROMPT_COMMAND[@]}"; do
        if [[ ${PROMPT_COMMAND[_esker_index]} == "$_esker_last" ]]; then
            \builtin unset -v "PROMPT_COMMAND[$_esker_index]"
        fi
    done
fi
\builtin unset -f _esker_again
\builtin unset -v FLOX_SAVE_BASH_PS1 _FLOX_SOURCED_PROFILE_SCRIPTS _esker_subshell _esker_prompt _esker_prompted
\builtin unset -v _esker_last _esker_index
