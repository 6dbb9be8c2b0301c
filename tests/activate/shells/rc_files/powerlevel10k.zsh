# An instant prompt: the prompt of the last time stands there at once, and what the rest of the file prints comes later.
# prompt: 7 in {dir} >
# check: print -r -- $loaded => yes

if [[ -o interactive && -t 1 ]]; then
    print -rn -- 'instant > '
    typeset -g __instant_output=$(mktemp)
    exec {__instant_out}>&1 {__instant_err}>&2 >$__instant_output 2>&1
    function __instant_end {
        exec 1>&$__instant_out 2>&$__instant_err {__instant_out}>&- {__instant_err}>&-
        print -rn -- $'\r\e[K'
        command cat -- $__instant_output
        command rm -f -- $__instant_output
        precmd_functions=(${precmd_functions:#__instant_end})
        unset -f __instant_end
    }
    precmd_functions=(__instant_end $precmd_functions)
fi
() {
    emulate -L zsh -o extended_glob
    unset -m '(POWERLEVEL9K_*)~POWERLEVEL9K_GITSTATUS_DIR'
    typeset -g POWERLEVEL9K_INSTANT_PROMPT=verbose
}
function _p9k_precmd {
    local -i status_of_command=$?
    PROMPT="${status_of_command} in %1~ > "
    RPROMPT=
}
precmd_functions+=(_p9k_precmd)
loaded=yes
