# The body of the function with the command's name. `deactivate` changes the shell it is typed in, and every other
# subcommand goes to the program. $1 is the program, and the other parameters are the words that were typed.
# shellcheck disable=SC2154 # the text that defines the function assigns _esker_subshell
# shellcheck disable=SC2317 # this is the body of a function

# In a subshell, such as `$(esker deactivate)`, the text must go to the output, for whoever evaluates it there.
if [[ $#:${2-}:$BASH_SUBSHELL == "2:deactivate:$_esker_subshell" ]]; then
    \builtin eval "$(_ESKER_SHELL=bash \builtin command "$1" deactivate)"
else
    \builtin command "$@"
fi
