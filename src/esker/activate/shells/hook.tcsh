# Has tcsh read at_prompt.tcsh before each prompt, and then do what it did before. $_esker_at_prompt is that file.
if (! $?_esker_turn) then
    set _esker_turn = new
    set _esker_changed = ''
    set _esker_precmd = "`alias precmd`"
    if ("$_esker_precmd" == '') then
        alias precmd 'source $_esker_at_prompt:q'
    else
        alias _esker_precmd "`alias precmd`"
        alias precmd 'source $_esker_at_prompt:q; _esker_precmd'
    endif
    unset _esker_precmd
endif
