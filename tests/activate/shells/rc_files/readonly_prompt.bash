# A machine whose prompt nobody may change, because it says which machine it is.
# prompt: PRODUCTION {dir}>
# label: no
# check: echo $EDITOR => vi

readonly EDITOR=vi
export EDITOR
PS1='PRODUCTION \W> '
readonly PS1
