# Expands the values of `[vars]`, runs the hook, and writes the resulting environment. Each entry ends with a NUL.
#
#   bash -p -c TEXT NAME VALUES HOOK RESULT BASH
#
# VALUES and HOOK are files to read, RESULT is the descriptor to write to, and BASH is the path of this very bash.

# The hook must find no positional parameters. The variables are readonly so that it cannot change or unset them.
readonly _esker_values=$1 _esker_hook=$2 _esker_result=$3 _esker_bash=$4
set --

# Bash parses the whole group before it runs any of it, so aliases that the hook makes cannot change a word below.
{
    # With checkwinsize, bash would put the size of the terminal into COLUMNS and LINES after each program.
    shopt -u checkwinsize

    # shellcheck source=/dev/null # a file in memory
    . "$_esker_values" || exit
    # A `v` tells Esker that all values were expanded.
    printf v >&"$_esker_result"
    # shellcheck source=/dev/null # a file in memory
    . "$_esker_hook"
    _esker_status=$?

    # All this happens in a subshell. So the hook's EXIT trap does not see it, and runs when this shell ends.
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
