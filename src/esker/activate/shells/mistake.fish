# Warns about the script that is the second parameter, under the name that is the first, if fish cannot parse it. The
# third parameter is its place in the manifest.
function _esker_mistake
    set -l fish (status fish-path)
    if not printf '%s\n' $argv[2] | command $fish --no-config --no-execute 2>/dev/null
        printf '! %s has a syntax error (%s); none of it has run\n' $argv[1] $argv[3] >&2
    end
end
