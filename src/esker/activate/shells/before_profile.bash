# Remembers the exported variables and the prompt, as bash text, before the profile scripts run.
_esker_exports=$(
    \builtin export -p
    if [[ -n ${PS1+x} ]]; then \builtin declare -p PS1; fi
)
