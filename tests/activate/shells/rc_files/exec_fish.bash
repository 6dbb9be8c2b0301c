# bash is the login shell, and gives way to fish as soon as somebody types.
# then: prompt.fish

if [[ $(ps --no-headers --pid=$PPID --format=comm) != fish && -z ${BASH_EXECUTION_STRING} && $- == *i* ]]; then
    shopt -q login_shell && LOGIN_OPTION='--login' || LOGIN_OPTION=''
    exec fish $LOGIN_OPTION
fi
PS1='\W> '
