# A prompt that a program draws, as starship does: a trap for the beginning of a command, and what stood in PROMPT_COMMAND.
# prompt: [7] in {dir}>
# check: echo ${#saved_args[@]} => 1

PROMPT_COMMAND='saved_args=(one)'
promptly_preexec() {
    local previous=$_
    if [ "$PREEXEC_READY" = "true" ]; then
        PREEXEC_READY=false
        PROMPTLY_START=$SECONDS
    fi
    : "$previous"
}
promptly_precmd() {
    CMD_STATUS=$? PIPE_STATUS=(${PIPESTATUS[@]})
    if [[ -n "${BP_PIPESTATUS-}" ]]; then PIPE_STATUS=(${BP_PIPESTATUS[@]}); fi
    _set_status() { return $1; }
    _set_status $CMD_STATUS
    eval "$_PRESERVED_PROMPT_COMMAND"
    if [[ -n "${PROMPTLY_START-}" ]]; then
        PROMPTLY_DURATION=$((SECONDS - PROMPTLY_START))
        PROMPTLY_START=""
    fi
    PS1="$(promptly "$CMD_STATUS")"
    PREEXEC_READY=true
}
dbg_trap="$(trap -p DEBUG | cut -d' ' -f3 | tr -d \')"
if [[ -z "$dbg_trap" ]]; then
    trap 'promptly_preexec "$_"' DEBUG
fi
if [[ -z "$PROMPT_COMMAND" ]]; then
    PROMPT_COMMAND=promptly_precmd
elif [[ "$PROMPT_COMMAND" != *promptly_precmd* ]]; then
    _PRESERVED_PROMPT_COMMAND="$PROMPT_COMMAND"
    PROMPT_COMMAND="promptly_precmd"
fi
