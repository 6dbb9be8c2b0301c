# pyenv: its shims in front of PATH, and a function before the program.
# prompt: py 3.12.4 {dir}>
# path: ~/.pyenv/shims
# check: pyenv version-name => 3.12.4

export PYENV_ROOT="$HOME/.pyenv"
command -v pyenv >/dev/null || export PATH="$PYENV_ROOT/bin:$PATH"
eval "$(pyenv init -)"
export PYENV_VIRTUALENV_DISABLE_PROMPT=1
PS1='py $(pyenv version-name) \W> '
