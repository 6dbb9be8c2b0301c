# Puts the elements of $2, which colons separate, in front of the list variable $1, and removes them from the rest of
# it. Each further parameter is added at the end, unless the list contains it already.
_esker_prepend() {
    local old="${!1-}" new='' part
    [ -z "$old" ] || old=$old:
    while [ -n "$old" ]; do
        part=${old%%:*}
        old=${old#*:}
        # Empty elements have a meaning where they stand, and are never moved.
        case ":$2:" in
            *":$part:"*) [ -z "$part" ] || continue ;;
        esac
        new=$new:$part
    done
    new=$2$new
    [ -n "$2" ] || new=${new#:}
    for part in "${@:3}"; do
        case ":$new:" in
            *":$part:"*) ;;
            *) new=$new:$part ;;
        esac
    done
    export "$1=$new"
}

# Puts the element $2 in front of the list variable $1, whose text $3 opens, $4 separates and $5 closes.
_esker_first() {
    local old="${!1-}"
    old=${old#"$3"}
    old=$4${old%"$5"}$4
    old=${old/"$4$2$4"/"$4"}
    old=${old%"$4"}
    export "$1=$3$2$old$5"
}
