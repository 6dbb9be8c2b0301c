# Somebody who came from other shells, and has told zsh to behave like them.
# prompt: {dir} sh>
# check: echo $list => one

setopt sh_word_split ksh_arrays no_unset extended_glob null_glob no_clobber glob_subst
setopt hist_ignore_all_dups share_history no_beep
list=(one two)
readonly ADMIN=me
alias -g and='&&'
alias ls='ls -F' cd..='cd ..'
command_not_found_handler() { echo "no $1" >&2; return 127 }
PS1='%1~ sh> '
