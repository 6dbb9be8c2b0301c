# Gives an interactive shell its own prompt again, and removes the variables that Esker keeps in a shell.
if [[ -n ${FLOX_SAVE_BASH_PS1+x} ]]; then
    PS1=$FLOX_SAVE_BASH_PS1
    \builtin unset -v FLOX_SAVE_BASH_PS1
fi
\builtin unset -v _FLOX_SOURCED_PROFILE_SCRIPTS _esker_subshell
