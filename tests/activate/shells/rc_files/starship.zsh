# A prompt that a program draws when it is expanded, with the status that a precmd function keeps.
# prompt: [7] in {dir}>
# check: print -r -- $PROMPT2 => more>

zmodload zsh/parameter
promptly_precmd() {
    CMD_STATUS=$? PIPE_STATUS=(${pipestatus[@]})
    if (( ${+PROMPTLY_START} )); then unset PROMPTLY_START; fi
    JOBS_COUNT=${#jobstates}
}
promptly_preexec() { PROMPTLY_START=$EPOCHREALTIME }
typeset -ga preexec_functions precmd_functions
precmd_functions+=(promptly_precmd)
preexec_functions+=(promptly_preexec)
zle-keymap-select() { zle reset-prompt }
zle -N zle-keymap-select
setopt promptsubst
PROMPT='$(promptly "$CMD_STATUS")'
PROMPT2='more> '
