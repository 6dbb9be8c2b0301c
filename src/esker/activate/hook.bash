# Runs the values of `[vars]` and the hook, then writes the environment that they leave: each entry ends with a NUL.
#
#   bash -p -c TEXT NAME VALUES HOOK RESULT BASH
#
# VALUES and HOOK are files to read, RESULT is the descriptor to write to, and BASH is the path of this very bash.

# The hook must find no positional parameters, and it can neither unset nor change what is readonly.
readonly _esker_values=$1 _esker_hook=$2 _esker_result=$3 _esker_bash=$4
set --

# Bash parses the whole group before it runs any of it, so aliases that the hook makes cannot change a word below.
{
    # Bash would ask the terminal for its size after each program, and put that into COLUMNS and LINES.
    shopt -u checkwinsize

    # shellcheck source=/dev/null # a file in memory
    . "$_esker_values" || exit
    # Esker reads a `v` as: all values were expanded.
    printf v >&"$_esker_result"
    # shellcheck source=/dev/null # a file in memory
    . "$_esker_hook"
    _esker_status=$?

    {
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

        # The program that takes the place of this bash is given exactly what is exported. On Linux that is a second bash,
        # which asks the kernel what it was given; elsewhere it is `env`.
        if [[ -r /proc/self/environ ]]; then
            # shellcheck disable=SC2016 # the second bash expands this
            exec "$_esker_bash" --noprofile --norc -p -c \
                'mapfile -d "" -t all </proc/self/environ; printf "%s\0" "${all[@]}" >&"$1"' bash "$_esker_result"
        else
            exec /usr/bin/env -0 >&"$_esker_result"
        fi
    } 2>/dev/null
}
