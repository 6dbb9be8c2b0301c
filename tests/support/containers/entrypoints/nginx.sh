#!/bin/sh
# Does what the documentation of the public `nginx` image promises: fills in /etc/nginx/templates from the variables,
# runs /docker-entrypoint.d, and starts the server.
set -eu
if [ "$1" = nginx ]; then
    for template in /etc/nginx/templates/*.template; do
        [ -e "$template" ] || continue
        file=/etc/nginx/conf.d/$(basename "$template" .template)
        cp "$template" "$file"
        for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z_0-9]*\)=.*/\1/p'); do
            eval "value=\$$name"
            # shellcheck disable=SC2154
            escaped=$(printf %s "$value" | sed 's/[\\&|]/\\&/g')
            sed -i "s|\${$name}|$escaped|g; s|\$$name\b|$escaped|g" "$file"
        done
    done
    for script in /docker-entrypoint.d/*.sh; do
        [ ! -x "$script" ] || "$script"
    done
fi
exec "$@"
