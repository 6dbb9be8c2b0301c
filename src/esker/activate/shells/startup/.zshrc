# Reads the user's file, and then the text with which Esker applies the activation over what that file has changed.
# An /etc/zshrc may have put the history into the directory of this file, as that of macOS does.
if [[ -n ${_esker_zdotdir+x} ]]; then ZDOTDIR=$_esker_zdotdir; else unset ZDOTDIR; fi
if [[ ${HISTFILE-} == "$_esker_startup/"* ]]; then HISTFILE=${ZDOTDIR-$HOME}/${HISTFILE##*/}; fi
unset _esker_startup _esker_zdotdir
_esker_text=$_ESKER_TEXT
unset _ESKER_TEXT
if [[ -f ${ZDOTDIR-$HOME}/.zshrc ]]; then . "${ZDOTDIR-$HOME}/.zshrc"; fi
\builtin . "$_esker_text"
\builtin unset _esker_text
