# Warns about the script $2, under the name $1, if bash cannot parse it. It may switch on `extglob`, which allows more
# syntax, so it is enough if bash can parse it either without or with that option. $3 is the number of its lines, $4 the
# path of the manifest, and $5 the number of lines in the manifest before the script, or nothing if that is not known.
_esker_mistake() {
    \builtin local said line
    said=$(LC_ALL=C "$BASH" -pn <(\builtin printf '%s\n' "$2") 2>&1) ||
        said=$(LC_ALL=C "$BASH" -O extglob -pn <(\builtin printf '%s\n' "$2") 2>&1) || {
        line=${said#*: line }
        line=${line%%:*}
        if [[ -z $line || $line == *[!0-9]* ]]; then line=1; fi
        # A missing end is found one line further.
        if ((line > $3)); then line=$3; fi
        if [[ -n $5 ]]; then line=$4:$((line + $5)); else line="line $line of the script, $4"; fi
        \builtin printf '! %s has a syntax error (%s); only the commands before it have run\n' "$1" "$line" >&2
    }
}
