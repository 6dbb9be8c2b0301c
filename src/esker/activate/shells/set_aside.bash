# Sets aside everything that may change the meaning of `export` and `unset`, until put_back.bash restores it: aliases,
# functions with these names, and `set -k`. Bash reads this text line by line, and aliases still work in the lines up to
# the one that switches them off. There, a backslash keeps a word from being taken for an alias.
_esker_options=$- _esker_functions=
if \builtin shopt -q expand_aliases; then _esker_options+=A; \builtin shopt -u expand_aliases; fi
builtin set +k

# In POSIX mode `export` and `unset` are special builtins, which win over functions of the same name.
if [[ ! -o posix ]]; then
    for _esker_name in export unset; do
        if builtin declare -F "$_esker_name" >/dev/null; then
            _esker_functions+=$(builtin declare -fp "$_esker_name")$'\n'
            builtin unset -f "$_esker_name"
        fi
    done
fi
