# Puts the names of the active environments in front of an interactive shell's prompt, or of the prompt's second line.
# $_esker_program is the name that the prompt shows unless FLOX_PROMPT gives another.
# The prompt shows `%61v` and `%62v`, which are elements of psvar: what they contain is shown and never evaluated.

if [[ -o interactive ]]; then
    builtin typeset -g _esker_label=$_esker_program _esker_psvar=${_esker_psvar-${#psvar}}
    if [[ -n ${NO_COLOR-} ]]; then
        builtin typeset -g _esker_prompt='%61v [%62v] '
    else
        builtin typeset -g _esker_prompt="%B%F{${${FLOX_PROMPT_COLOR_1-99}//[^0-9]/}}%61v %F{${${FLOX_PROMPT_COLOR_2-141}//[^0-9]/}}[%62v]%f%b "
    fi
    function _esker_again {
        builtin emulate -L zsh
        psvar[61]=${FLOX_PROMPT-$_esker_label}
        psvar[62]=${FLOX_PROMPT_ENVIRONMENTS-}
        # A prompt that shows the names already is left alone, and so is one that the user has made read-only.
        if [[ $PS1 != *'%62v'* && ${(t)PS1} != *readonly* ]]; then
            builtin typeset -g _esker_saved=$PS1
            if [[ $PS1 == *$'\n'* ]]; then
                PS1=${PS1%%$'\n'*}$'\n'$_esker_prompt${PS1#*$'\n'}
            else
                PS1=$_esker_prompt$PS1
            fi
            builtin typeset -g _esker_prompted=$PS1
        fi
        # A function that makes the prompt anew each time may have been added since, and has to come before this one.
        if [[ ${precmd_functions[-1]-} != _esker_again ]]; then
            builtin typeset -ga precmd_functions
            precmd_functions=(${precmd_functions:#_esker_again} _esker_again)
        fi
    }
    _esker_again
fi
builtin unset _esker_program
