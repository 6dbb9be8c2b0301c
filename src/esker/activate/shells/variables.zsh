# Puts the exported variables into $_esker_now, each followed by a NUL.
function _esker_variables {
    builtin emulate -L zsh
    builtin zmodload zsh/parameter
    builtin local _esker_name
    builtin typeset -g _esker_now=
    for _esker_name in ${(ko)parameters[(R)*export*]}; do
        [[ $_esker_name == _ ]] || _esker_now+="$_esker_name=${(P)_esker_name}"$'\0'
    done
}
