# Puts the names of the active environments in front of an interactive shell's prompt. $_esker_program is the name that
# the prompt shows unless FLOX_PROMPT gives another. Tcsh shows what `%$` names and never evaluates it.
# In one line, tcsh expands the variables of an `if` before it looks whether they exist.
if ($?prompt && ! $?_esker_prompted) then
    set _esker_names = "$_esker_program "
    if ($?FLOX_PROMPT) set _esker_names = '%$FLOX_PROMPT '
    set _esker_saved = "$prompt"
    if ($?NO_COLOR) then
        set prompt = "$_esker_names"'[%$FLOX_PROMPT_ENVIRONMENTS] '"$_esker_saved"
    else
        set _esker_colors = (99 141)
        if ($?FLOX_PROMPT_COLOR_1) then
            set _esker_colors[1] = "$FLOX_PROMPT_COLOR_1"
        endif
        if ($?FLOX_PROMPT_COLOR_2) then
            set _esker_colors[2] = "$FLOX_PROMPT_COLOR_2"
        endif
        set _esker_names = '%{\033[1;38;5;'"$_esker_colors[1]"'m%}'"$_esker_names"'%{\033[1;38;5;'"$_esker_colors[2]"'m%}'
        set prompt = "$_esker_names"'[%$FLOX_PROMPT_ENVIRONMENTS]%{\033[0m%} '"$_esker_saved"
        unset _esker_colors
    endif
    set _esker_prompted = "$prompt"
    unset _esker_names
endif
unset _esker_program
