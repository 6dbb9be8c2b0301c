# Expands the values of `[vars]`, runs the hooks, and writes the resulting environment. Each entry ends with a NUL.
#
#   bash -p -c TEXT NAME TIED BASH RESULT FAILURES VALUES HOOK [DECLARED TOOL]
#
# From the descriptor TIED comes a byte once this bash ends with Esker; if Esker has ended before, nothing comes. BASH is
# the path of this very bash, RESULT and FAILURES are descriptors to write to, and the others are files to read.
# TOOL is the hook of another tool, such as a shellHook, and DECLARED is what that tool declares for it; what a shell can
# take over from both is written, too.

\builtin read -r -N 1 -u "$1" _esker_tied || \builtin exit
\builtin unset -v _esker_tied
shift

# The hook must find no positional parameters. The variables are readonly so that it cannot change or unset them.
readonly _esker_bash=$1 _esker_result=$2 _esker_failures=$3 _esker_values=$4 _esker_hook=$5
readonly _esker_declared=${6-} _esker_tool=${7-}
set --

# The trap for DEBUG while TOOL runs: an `exec` of a program is noted and not run, and every script that runs ends there.
# With extdebug, the status 2 means `return`.
_esker_before_command() {
    # Neither in a subshell nor outside of TOOL. `exec` without a program only redirects.
    if ((BASH_SUBSHELL > 0 || ${#FUNCNAME[@]} < 2)); then return 0; fi
    if [[ -n ${_esker_ended-} ]]; then return 2; fi
    if [[ $BASH_COMMAND != exec[[:space:]]* ]] ||
        [[ $BASH_COMMAND =~ ^exec[[:space:]]+([0-9]*|\{[A-Za-z_0-9]+\})[\<\>] ]]; then return 0; fi
    _esker_ended=$BASH_COMMAND
    \builtin set +e # or the 2 would end this bash
    return 2
}

# The trap for ERR while the hooks run: under `set -e`, where a failed command ends this bash, it is noted which one.
# That is the last of these notes; a command in a subshell may only have ended that.
_esker_command_failed() {
    # Outside of a file it is the driver below, which only passes on what a hook has returned.
    if [[ $- == *e* && -n $3 ]]; then
        \builtin printf '%s\0%s\0%s\0' "$1" "$2" "$3" >&"$_esker_failures"
    fi
}

# Writes what TOOL has left in this shell beside exported variables, and keeps its EXIT trap from running here.
_esker_take() {
    {
        \builtin printf '_esker_ended=%s\0_esker_returned=%s\0_esker_variables=' "${_esker_ended-}" "$1"
        \builtin declare -p
        \builtin printf '\0_esker_functions='
        \builtin declare -f
        \builtin printf '\0_esker_aliases='
        \builtin alias -p
        \builtin printf '\0_esker_trap='
        \builtin trap -p EXIT
        \builtin printf '\0_esker_taken=\0'
    } 1>&"$_esker_result" 2>/dev/null
    \builtin trap - EXIT
}

# All this happens in a subshell. So the hook's EXIT trap does not see it, and runs when this shell ends.
_esker_write() {
    (
        # In POSIX mode, special builtins such as `set` and `exec` win over functions of the same names.
        _esker_posix=${POSIXLY_CORRECT+x$POSIXLY_CORRECT}
        POSIXLY_CORRECT=y
        set +aefux
        trap - EXIT DEBUG ERR RETURN
        export _esker_status
        case $_esker_posix in
            x*) POSIXLY_CORRECT=${_esker_posix#x} ;;
            *) export -n POSIXLY_CORRECT ;;
        esac

        # The program that replaces this subshell is given exactly the exported variables, and writes them. On Linux
        # that is a second bash, which asks the kernel for the environment that it was given; elsewhere it is `env`.
        if [[ -r /proc/self/environ ]]; then
            # shellcheck disable=SC2016 # the second bash expands this
            exec "$_esker_bash" --noprofile --norc -p -c \
                'mapfile -d "" -t all </proc/self/environ; printf "%s\0" "${all[@]}" >&"$1"' bash "$_esker_result"
        else
            exec /usr/bin/env -0 >&"$_esker_result"
        fi
    ) 2>/dev/null
}
readonly -f _esker_before_command _esker_command_failed _esker_take _esker_write

# Bash parses the whole group before it runs any of it, so aliases that the hook makes cannot change a word below.
{
    # With checkwinsize, bash would put the size of the terminal into COLUMNS and LINES after each program.
    shopt -u checkwinsize

    # shellcheck source=/dev/null # a file in memory
    . "$_esker_values" || exit
    # A `v` tells Esker that all values were expanded.
    printf v >&"$_esker_result"
    trap '_esker_command_failed "$LINENO" "$BASH_COMMAND" "${BASH_SOURCE[0]-}"' ERR
    if [[ -n $_esker_tool ]]; then
        # shellcheck source=/dev/null # a file in memory
        . "$_esker_declared"
        # shellcheck source=/dev/null # a file in memory
        . "$_esker_tool"
        _esker_returned=$?
        \builtin trap - DEBUG
        \builtin shopt -u extdebug
        _esker_take "$_esker_returned" || :
        \builtin set +eu
    fi
    # shellcheck source=/dev/null # a file in memory
    . "$_esker_hook"
    _esker_status=$?
    _esker_write
}
