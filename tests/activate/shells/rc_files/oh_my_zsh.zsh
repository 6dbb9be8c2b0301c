# A framework with a theme: an arrow in the colour of the status, the branch, and functions that the terminal's title needs.
# prompt: 7 -> {dir} git:(main)
# check: print -r -- $ZSH_THEME => robbyrussell

export ZSH="$HOME/.oh-my-zsh"
ZSH_THEME="robbyrussell"
plugins=(git z)
setopt auto_cd multios prompt_subst interactive_comments
autoload -U colors && colors
autoload -U compaudit compinit zrecompile
compinit -D -u
zstyle ':completion:*' menu select
function git_prompt_info() { print -rn -- "git:(main) " }
function omz_termsupport_precmd { [[ "${DISABLE_AUTO_TITLE:-}" != true ]] || return 0 }
function omz_termsupport_preexec { emulate -L zsh; setopt extended_glob }
autoload -Uz add-zsh-hook
add-zsh-hook precmd omz_termsupport_precmd
add-zsh-hook preexec omz_termsupport_preexec
alias -g L='| less'
alias gst='git status'
if [[ -n ${NO_COLOR-} ]]; then fg_bold=() fg=() reset_color=; fi
PROMPT="%(?:%{$fg_bold[green]%}:%{$fg_bold[red]%}%? )-> %{$fg[cyan]%}%1~%{$reset_color%} "
PROMPT+='$(git_prompt_info)'
