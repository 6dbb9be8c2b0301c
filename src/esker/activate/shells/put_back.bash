# Restores the aliases, functions and options that set_aside.bash has set aside.
# shellcheck disable=SC2154 # set_aside.bash assigns these variables

builtin eval "$_esker_functions"
case $_esker_options in *k*) builtin set -k ;; esac
case $_esker_options in *A) builtin shopt -s expand_aliases ;; esac
\builtin unset -v _esker_options _esker_functions _esker_name
