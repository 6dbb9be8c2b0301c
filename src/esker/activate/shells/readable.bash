# Ends the shell with the message $3 unless the bash $1 can read the script $2 to its end. The script itself may choose
# `extglob`, which allows more, so one of both ways is enough.
_esker_readable() {
    "$1" -pn <(\builtin printf '%s\n' "$2") 2>/dev/null ||
        "$1" -O extglob -pn <(\builtin printf '%s\n' "$2") 2>/dev/null ||
        { \builtin printf '%s\n' "$3" >&2; \builtin exit 1; }
}
