# Has fish ask the command before each prompt, if the directory or a watched file has changed since it asked last.
# $_esker_asked_program is the command. What it prints defines _esker_same, which tests whether nothing has changed.

# $_esker_turn is `new` in a shell that has never asked, a number if there is more to do, `end` after the last text, and
# empty at the next prompt.
function _esker_at_prompt --on-event fish_prompt
    while test "$_esker_turn" != end
        if test -z "$_esker_turn"; and _esker_same
            return
        end
        set -l _esker_text
        if not string match -q '*/*' -- $_esker_asked_program; or test -x $_esker_asked_program
            command $_esker_asked_program hook-env fish "$_esker_turn" </dev/null | read -lz _esker_text
            set -gu _esker_turn end
            eval $_esker_text
        else
            set -gu _esker_turn end
        end
    end
    set -gu _esker_turn ''
end
if not functions -q _esker_same
    function _esker_same
        return 1
    end
    set -gu _esker_turn new
end
