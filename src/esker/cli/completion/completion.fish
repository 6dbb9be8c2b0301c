# The completion of command lines in fish. The text before it defines __esker_names and __esker_groups; the lines after it
# are the completions.

# Reads the command line before the cursor, once for all the conditions of a completion: $__esker_command is the command;
# $__esker_directory the value of --dir; and $__esker_behind has the words behind `--`, the first of which is `--`.
function __esker_read
    set -l words (commandline -opc)
    set -q __esker_words; and test "$words" = "$__esker_words"; and return
    set -g __esker_words $words
    set -g __esker_command
    set -g __esker_directory
    set -g __esker_behind
    set -l option
    set -l in_group y
    for word in $words[2..]
        if test -n "$__esker_behind"; or test "$word" = --
            set -a __esker_behind $word
        else if string match -q -- '--dir=*' $word
            set __esker_directory (string sub -s 7 -- $word)
        else if test "$option" = -d; or test "$option" = --dir
            set __esker_directory $word
        else if test -n "$in_group"; and not string match -q -- '-*' $word
            set -a __esker_command $word
            contains -- "$__esker_command" $__esker_groups; or set in_group
        end
        set option $word
    end
end
# Whether the command line is one of the commands $argv, and the cursor not behind a `--`.
function __esker_at
    __esker_read
    test -z "$__esker_behind"; and contains -- "$__esker_command" $argv
end
# Whether the cursor is behind the `--` of one of the commands $argv.
function __esker_behind
    __esker_read
    test -n "$__esker_behind"; and contains -- "$__esker_command" $argv
end
# Completes the command line behind `--`.
function __esker_rest
    if test (count $__esker_behind) -eq 1
        __esker_names program $__esker_directory
    end
    complete -C (string join ' ' -- (string escape -- $__esker_behind[2..]) (commandline -ct) | string collect)
end
function __esker_directories
    __fish_complete_directories (string replace -r -- '^--[a-z-]*=' '' (commandline -ct)) ''
end
