# Abbreviations, aliases for ls and cd, and directories in fish_user_paths, which fish keeps in front of PATH.
# prompt: me {dir} ~>
# path: ~/.cargo/bin
# check: ls => listed

set -g fish_greeting
if status is-interactive
    abbr -a gco git checkout
    abbr -a -- - 'cd -'
    alias ls 'echo listed'
    alias cat 'echo cat'
    function cd --wraps cd
        builtin cd $argv; and emit moved
    end
    bind \cf forward-word
end
mkdir -p ~/.cargo/bin
fish_add_path ~/.cargo/bin
set -gx EDITOR vi
set -x -g LESS '-R'
function fish_prompt
    echo -n "me "(basename $PWD)" ~> "
end
