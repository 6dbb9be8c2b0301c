# A machine whose prompt nobody may change, because it says which machine it is.
# prompt: PRODUCTION {dir} %
# label: no
# check: print -r -- $TMOUT => 3600

typeset -gr TMOUT=3600
PS1='PRODUCTION %1~ %% '
typeset -gr PS1
