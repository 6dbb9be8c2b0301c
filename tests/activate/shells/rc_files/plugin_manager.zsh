# A plugin manager that loads what it can after the first prompt, and hooks that plugins have put into the arrays.
# prompt: {dir} 7 %
# path: ~/.local/share/plugins/bin
# check: z_is_here => 1

typeset -gA ZINIT=(BIN_DIR ~/.zinit HOME_DIR ~/.zinit)
typeset -U path PATH fpath
path=(~/.local/share/plugins/bin $path)
typeset -ga precmd_functions chpwd_functions
_load_later() {
    add-zsh-hook -d precmd _load_later
    _autosuggest_start() { typeset -g suggestions=on }
    precmd_functions=(_autosuggest_start $precmd_functions)
    _z_precmd() { typeset -g z_directory=$PWD }
    precmd_functions[(i)_z_precmd]=_z_precmd
}
z_is_here() { print -r -- $(( ${precmd_functions[(I)_z_precmd]} || ${precmd_functions[(I)_load_later]} )) }
autoload -Uz add-zsh-hook
add-zsh-hook precmd _load_later
prompt_later() { local code=$?; psvar[1]=$code }
precmd_functions=(prompt_later $precmd_functions)
PS1='%1~ %1v %# '
PS1=${PS1/\%\#/%%}
