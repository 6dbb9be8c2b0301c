# What guides to a hardened machine say: the history cannot be switched off, and nobody changes what writes it.
# not: at the prompt
# prompt: audited {dir}>
# check: echo $TMOUT => 3600

readonly TMOUT=3600
readonly HISTFILE=$HOME/.bash_history HISTSIZE=100000 HISTCONTROL=
shopt -s histappend
readonly PROMPT_COMMAND='history -a'
PS1='audited \W> '
