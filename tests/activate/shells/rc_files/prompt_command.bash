# A function in PROMPT_COMMAND makes the prompt anew each time, with the exit status of the last command.
# prompt: 7 me:{dir}>

__prompt_command() {
    local status=$?
    local red='\[\e[0;31m\]' plain='\[\e[0m\]'
    [[ -n ${NO_COLOR-} ]] && red='' plain=''
    PS1=''
    if [ $status != 0 ]; then PS1+="${red}${status}${plain} "; fi
    PS1+="me:\W> "
}
PROMPT_COMMAND=__prompt_command
