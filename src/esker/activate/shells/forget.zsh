# Gives an interactive shell its own prompt again, and removes what Esker keeps in a shell.

if [[ -n ${_esker_saved+x} ]]; then
    if [[ $PS1 == ${_esker_prompted-} ]]; then
        PS1=$_esker_saved
    else
        # The prompt was changed since; only the names go.
        PS1=${PS1/$_esker_prompt/}
    fi
fi
if [[ -n ${_esker_psvar+x} ]]; then
    psvar=("${(@)psvar[1,_esker_psvar]}")
    precmd_functions=(${precmd_functions:#_esker_again})
    builtin unset -f _esker_again
fi
builtin unset _esker_saved _esker_prompted _esker_prompt _esker_label _esker_psvar _esker_subshell _FLOX_SOURCED_PROFILE_SCRIPTS
