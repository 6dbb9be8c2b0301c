# The block that `conda init` writes, with an environment that is active from the start.
# prompt: (base) {dir}>
# path: ~/conda/bin
# check: echo $CONDA_PREFIX => ~/conda

PS1='\W> '
# >>> conda initialize >>>
__conda_setup="$('conda' 'shell.bash' 'hook' 2> /dev/null)"
if [ $? -eq 0 ]; then
    eval "$__conda_setup"
else
    if [ -f "$HOME/conda/etc/profile.d/conda.sh" ]; then
        . "$HOME/conda/etc/profile.d/conda.sh"
    else
        export PATH="$HOME/conda/bin:$PATH"
    fi
fi
unset __conda_setup
# <<< conda initialize <<<
