# If the profile scripts have changed exported variables or the prompt, the command is told, and writes that down in
# `_ESKER_UNDO`. $_esker_program is the command.
# shellcheck disable=SC2154 # before_profile.bash and whoever evaluates this text assign the variables

if [[ $(
    \builtin export -p
    if [[ -n ${PS1+x} ]]; then \builtin declare -p PS1; fi
) != "$_esker_exports" ]]; then
    # With PS1 in the environment, the command can read it although it is not exported.
    \builtin eval "$(
        \builtin printf '%s\n' "$_esker_exports" |
            _ESKER_SHELL=bash _ESKER_PROMPT=${PS1+x$PS1} \builtin command "$_esker_program" deactivate --profile
    )"
fi
\builtin unset -v _esker_exports _esker_program
