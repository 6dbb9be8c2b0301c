# A prompt of two lines that a program draws, with one on the right, and the sign of the vi mode.
# prompt: [7] in {dir}
# prompt: $
# check: echo $VIRTUAL_ENV_DISABLE_PROMPT => 1

function fish_greeting; end
function fish_prompt
    switch "$fish_key_bindings"
        case fish_hybrid_key_bindings fish_vi_key_bindings
            set PROMPTLY_KEYMAP "$fish_bind_mode"
        case '*'
            set PROMPTLY_KEYMAP insert
    end
    set PROMPTLY_PIPESTATUS $pipestatus
    set PROMPTLY_STATUS $PROMPTLY_PIPESTATUS[-1]
    promptly $PROMPTLY_STATUS \n'$ '
end
function fish_right_prompt
    echo -n ''
end
set -g VIRTUAL_ENV_DISABLE_PROMPT 1
builtin functions -e fish_mode_prompt
