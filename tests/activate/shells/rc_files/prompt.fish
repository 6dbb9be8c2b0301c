# A prompt with the status, and functions for events of the shell.
# prompt: [7] {dir}>
# check: echo $prompts_were_drawn => yes

function fish_greeting
end
function on_prompt --on-event fish_prompt
    set -g prompts_were_drawn yes
end
function on_directory --on-variable PWD
    set -g came_from $dirprev[-1]
end
function on_end --on-event fish_exit
    true
end
function fish_prompt --description 'Write out the prompt'
    set -l last $status
    set -l stat
    if test $last -ne 0
        set stat (set_color red) "[$last] " (set_color normal)
    end
    string join '' -- $stat (set_color green) (basename $PWD) (set_color normal) '> '
end
