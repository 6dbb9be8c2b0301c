# Has zsh ask the command before each prompt, if the directory or a watched file has changed since it asked last.
# $_esker_asked_program is the command. What it prints defines _esker_same, which tests whether nothing has changed.

# A text that is to be evaluated is in $_esker_text, if the status is 0. $_esker_turn is `new` in a shell that has never
# asked, a number if there is more to do, `end` after the last text, and empty at the next prompt.
function _esker_asked {
    if [[ ${_esker_turn-} == end ]]; then
        _esker_turn=
        builtin return 1
    fi
    if [[ -z ${_esker_turn-} ]] && _esker_same; then
        builtin return 1
    fi
    builtin typeset -g _esker_text=
    if [[ $_esker_asked_program != */* || -x $_esker_asked_program ]]; then
        # Ctrl-Z would stop the command, and zsh would wait for it for ever. Of a `trap` in zsh the command knows nothing.
        _esker_text=$(
            builtin command /bin/sh -c 'trap "" TSTP; exec "$@"' sh \
                $_esker_asked_program hook-env zsh "${_esker_turn-}" </dev/null
        ) || builtin true
    fi
    builtin typeset -g _esker_turn=end
}

if [[ -z ${functions[_esker_same]+x} ]]; then
    function _esker_same { builtin return 1 }
    builtin typeset -g _esker_turn=new
fi

builtin typeset -ga precmd_functions
precmd_functions=(_esker_at_prompt ${precmd_functions:#_esker_at_prompt})
