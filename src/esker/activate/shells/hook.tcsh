# Has tcsh read at_prompt.tcsh before each prompt, and then do what it did before. $_esker_at_prompt is that file.
if (! $?_esker_turn) then
    set _esker_turn = new
    set _esker_changed = ''
    set _esker_precmd = "`alias precmd`"
    if ("$_esker_precmd" == '') then
        alias precmd 'set _esker_status = $status; source $_esker_at_prompt:q; set status = $_esker_status'
    else
        alias _esker_precmd "`alias precmd`"
        alias precmd 'set _esker_status = $status; source $_esker_at_prompt:q; set status = $_esker_status; _esker_precmd'
    endif
    unset _esker_precmd
endif
