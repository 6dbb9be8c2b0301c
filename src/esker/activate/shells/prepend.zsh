# Puts the elements of $2, which colons separate, in front of the list variable $1, and removes them from the rest of
# it. Each further parameter is added at the end, unless the list contains it already.
function _esker_prepend {
    builtin emulate -L zsh
    builtin local part
    builtin local -a front rest
    front=("${(@s.:.)2}")
    rest=("${(@s.:.)${(P)1-}}")
    [[ -n $2 ]] || front=()
    [[ -n ${(P)1-} ]] || rest=()
    for part in "$front[@]"; do
        # Empty elements have a meaning where they stand, and are never moved.
        [[ -z $part ]] || rest=("${(@)rest:#$part}")
    done
    rest=("$front[@]" "$rest[@]")
    for part in "${@:3}"; do
        (( $rest[(Ie)$part] )) || rest+=("$part")
    done
    builtin export "$1=${(j.:.)rest}"
}
# Puts the element $2 in front of the list variable $1, whose text $3 opens, $4 separates and $5 closes.
function _esker_first {
    builtin emulate -L zsh
    builtin local old=${(P)1-}
    old=${old#$3}
    old=$4${old%$5}$4
    old=${old/$4$2$4/$4}
    old=${old%$4}
    builtin export "$1=$3$2$old$5"
}
