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
\builtin unset -v FLOX_SAVE_BASH_PS1 _FLOX_SOURCED_PROFILE_SCRIPTS _esker_subshell _esker_prompt _esker_prompted
