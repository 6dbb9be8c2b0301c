# PATH from nothing, and other meanings for the words that everybody types.
# prompt: {dir} ->
# path: /opt/tools/bin
# check: ls => listed

PATH=/usr/local/bin:/usr/bin:/bin
PATH="$HOME/bin:/opt/tools/bin:$PATH"
export PATH
cd_and_list() { builtin cd "$@" && ls >/dev/null; }
alias cd=cd_and_list
alias ls='echo listed'
alias rm='rm -i'
alias cat='echo cat'
alias sudo='sudo '
alias ..='cd ..'
export LS_OPTIONS='--color=auto'
unalias cp 2>/dev/null
PS1='\W -> '
