# `use esker [DIR]` for the .envrc of direnv: the variables of an environment whose content the user has allowed.
# shellcheck shell=bash
# $_esker_asked_program is the command; it also says what direnv watches.
# shellcheck disable=SC2154 # whoever evaluates this text assigns _esker_asked_program
use_esker() {
    local text
    text=$(command "$_esker_asked_program" hook-env direnv "$(expand_path "${1:-.}")" </dev/null) || return
    eval "$text"
}
