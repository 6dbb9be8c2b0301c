# Somebody who wants every shell to be strict. A command that fails ends this shell.
# status: 0
# prompt: strict {dir}>
# check: echo $- | tr -cd 'eu\n' => eu

set -eu
set -o pipefail
PROMPT_DIRTRIM=2
PS1='strict \W> '
