# What the manual of zsh proposes: vcs_info in the function precmd, a prompt of two lines, and one on the right.
# prompt: {dir} on main
# prompt: 7 $
# check: print -r -- ${+functions[precmd]} => 1

autoload -Uz vcs_info
zstyle ':vcs_info:*' enable git
setopt prompt_subst
precmd() {
    vcs_info
    branch=main
}
NEWLINE=$'\n'
PROMPT='%1~ on ${branch}'$NEWLINE'%? $ '
RPROMPT=
bindkey -v
export KEYTIMEOUT=1
