# bash-completion, and the state of the repository in the prompt, which a function writes each time.
# prompt: {dir} (main)>
# check: complete -p git_alias => complete -F _git_alias git_alias

if ! shopt -oq posix; then
    if [ -f /usr/share/bash-completion/bash_completion ]; then
        . /usr/share/bash-completion/bash_completion
    elif [ -f /etc/bash_completion ]; then
        . /etc/bash_completion
    fi
fi
_git_alias() { COMPREPLY=($(compgen -W 'status commit' -- "${COMP_WORDS[COMP_CWORD]}")); }
complete -F _git_alias git_alias
__git_ps1() {
    local exit=$?
    printf -- "${1:- (%s)}" main
    return $exit
}
GIT_PS1_SHOWDIRTYSTATE=1
PS1='\W$(__git_ps1 " (%s)")> '
