# Zsh reads this file instead of the user's, because ZDOTDIR names this directory in the zsh that Esker starts.
# It reads the user's file, which may set ZDOTDIR, and lets zsh come back for the `.zshrc` here.
_esker_startup=$ZDOTDIR
if [[ -n ${_ESKER_ZDOTDIR+x} ]]; then ZDOTDIR=$_ESKER_ZDOTDIR; else unset ZDOTDIR; fi
unset _ESKER_ZDOTDIR
if [[ -f ${ZDOTDIR-$HOME}/.zshenv ]]; then . "${ZDOTDIR-$HOME}/.zshenv"; fi
if [[ -n ${ZDOTDIR+x} ]]; then _esker_zdotdir=$ZDOTDIR; fi
ZDOTDIR=$_esker_startup
