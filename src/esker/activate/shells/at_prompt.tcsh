# Has tcsh ask the command before a prompt, if the directory or a watched file has changed since it asked last.
# $_esker_asked_program is the command. What it prints sets $_esker_changed, a command that tests whether it has.
# $_esker_turn is `new` in a shell that has never asked, a number if there is more to do, `end` after the last text, and
# empty at the next prompt.
if ("$_esker_turn" == '') eval $_esker_changed:q
while ("$_esker_turn" != '')
    set _esker_asked = "$_esker_turn"
    set _esker_turn = ''
    if ("$_esker_asked_program" !~ */* || -x "$_esker_asked_program") then
        eval "`$_esker_asked_program:q hook-env tcsh $_esker_asked:q < /dev/null`"
    endif
    if ("$_esker_turn" == 'end') set _esker_turn = ''
end
unset _esker_asked
