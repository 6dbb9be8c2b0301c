# Several tools have each put a line of their own into the list PROMPT_COMMAND.
# prompt: (7) {dir} #

PROMPT_COMMAND=(__status)
PROMPT_COMMAND+=('history -a')
PROMPT_COMMAND+=(__title '__draw')
__status() { last=$?; }
__title() { printf ''; }
__draw() { PS1="($last) \W # "; }
