# shellcheck shell=sh
# Prints a list with the element $2 in front of those of $1; $3 opens the text, $4 separates it and $5 closes it.
old=${1#"$3"}
old=${old%"$5"}
if [ -n "$old" ]; then
    old=$4$old$4
    case $old in
        *"$4$2$4"*) old=${old%%"$4$2$4"*}$4${old#*"$4$2$4"} ;;
    esac
    old=${old%"$4"}
fi
printf %s "$3$2$old$5"
