# A hook in PROMPT_COMMAND that brings variables of a directory, as direnv does, in front of what stands there.
# prompt: 7|{dir}>
# check: echo $FROM_DIRECTORY => {dir}

_envhook() {
  local previous_exit_status=$?;
  trap -- '' SIGINT;
  eval "export FROM_DIRECTORY=${PWD##*/}";
  trap - SIGINT;
  return $previous_exit_status;
};
PROMPT_COMMAND='PS1="$?|\W> "'
if [[ ";${PROMPT_COMMAND[*]:-};" != *";_envhook;"* ]]; then
  if [[ "$(declare -p PROMPT_COMMAND 2>&1)" == "declare -a"* ]]; then
    PROMPT_COMMAND=(_envhook "${PROMPT_COMMAND[@]}")
  else
    PROMPT_COMMAND="_envhook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
  fi
fi
