# Writes the exported variables, each with a NUL behind it.
function _esker_variables
    for _esker_name in (set -nx)
        printf '%s=%s\0' $_esker_name "$$_esker_name"
    end
end
