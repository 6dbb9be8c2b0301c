# Gives an interactive shell its own prompt again, unless it was changed since.
if ($?_esker_prompted) then
    if ("$prompt" == "$_esker_prompted") set prompt = "$_esker_saved"
    unset _esker_prompted _esker_saved
endif
rehash
