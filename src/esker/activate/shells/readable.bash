# Ends the shell with the message $3 unless the bash $1 can parse the whole script $2. The script may switch on
# `extglob`, which allows more syntax, so it is enough if bash can parse it either without or with that option.
_esker_readable() {
    "$1" -pn <(\builtin printf '%s\n' "$2") 2>/dev/null ||
        "$1" -O extglob -pn <(\builtin printf '%s\n' "$2") 2>/dev/null ||
        { \builtin printf '%s\n' "$3" >&2; \builtin exit 1; }
}
