# Gives an interactive shell its own prompt again, and removes what Esker keeps in a shell.

# A prompt that was made since stays, and may still call the functions.
if functions -q _esker_inner_prompt; and functions fish_prompt | string match -q '*_esker_inner_prompt*'
    functions -e fish_prompt
    functions -q _esker_user_prompt; or functions -c _esker_inner_prompt _esker_user_prompt
    functions -c _esker_user_prompt fish_prompt
    functions -e _esker_inner_prompt _esker_names
    set -eg _esker_label
end
functions -q _esker_user_prompt; and functions -e _esker_user_prompt
set -eg _FLOX_SOURCED_PROFILE_SCRIPTS
