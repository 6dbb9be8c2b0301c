# Says at the end of the shell that a script has ended it, before the command was run. $_esker_script is the script's name
# and place, as long as it runs.
# shellcheck disable=SC2154 # the lines that source a script assign it
# shellcheck disable=SC2317 # the trap calls it
_esker_cut_off() {
    \builtin printf '✘ ERROR: %s has ended the shell with status %s, so the command was not run\n' "$_esker_script" "$1" >&2
    # shellcheck disable=SC2016 # nothing is to be expanded
    \builtin printf 'hint: %s\n' 'write `return` for `exit`, and under `set -e` put `|| true` behind what may fail' >&2
}
\builtin trap '_esker_cut_off $?' EXIT
