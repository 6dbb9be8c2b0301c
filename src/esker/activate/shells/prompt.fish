# Puts the names of the active environments in front of an interactive shell's prompt, or of the prompt's second line.
# $_esker_program is the name that the prompt shows unless FLOX_PROMPT gives another.

# A prompt that shows the names already is left alone: one that has replaced it since may still call it.
if status is-interactive; and not functions -q _esker_inner_prompt; and functions -q fish_prompt
    set -gu _esker_label $_esker_program
    functions -c fish_prompt _esker_inner_prompt
    function _esker_names
        set -l colors (string match -r '^[0-9]+$' -- "$FLOX_PROMPT_COLOR_1"; or echo 99)
        set -a colors (string match -r '^[0-9]+$' -- "$FLOX_PROMPT_COLOR_2"; or echo 141)
        set -l label $_esker_label
        set -q FLOX_PROMPT; and set label "$FLOX_PROMPT"
        if test -n "$NO_COLOR"
            printf '%s [%s] ' "$label" "$FLOX_PROMPT_ENVIRONMENTS"
        else
            printf '\e[1;38;5;%sm%s \e[1;38;5;%sm[%s]\e[0m ' $colors[1] "$label" $colors[2] "$FLOX_PROMPT_ENVIRONMENTS"
        end
    end
    function fish_prompt
        # This comes first, so that the prompt of the user sees the status of the last command.
        set -l _esker_lines (_esker_inner_prompt)
        if set -q FLOX_PROMPT_ENVIRONMENTS
            set -l _esker_line (math "min(2, max(1, $(count $_esker_lines)))")
            set _esker_lines[$_esker_line] (_esker_names | string collect -N)"$_esker_lines[$_esker_line]"
        end
        string join \n -- $_esker_lines | string collect | read -lz _esker_text
        printf %s "$_esker_text"
    end
end
set -eg _esker_program
