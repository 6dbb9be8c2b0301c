# Sets aside what may give the words `export` and `unset` another meaning, until put_back.bash: aliases, functions with
# these names, and `set -k`. Bash reads this line by line, so an alias can still stand for a word of the second line;
# the backslashes there prevent that.
_esker_options=$- _esker_functions=
if \builtin shopt -q expand_aliases; then _esker_options+=A; \builtin shopt -u expand_aliases; fi
builtin set +k

# In POSIX mode these two are special builtins, which win over functions, and a function of that name stays hidden.
if [[ ! -o posix ]]; then
    for _esker_name in export unset; do
        if builtin declare -F "$_esker_name" >/dev/null; then
            _esker_functions+=$(builtin declare -fp "$_esker_name")$'\n'
            builtin unset -f "$_esker_name"
        fi
    done
fi
