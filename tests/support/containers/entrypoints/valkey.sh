#!/bin/sh
# Does what the documentation of the public `valkey/valkey` image promises: options or a configuration file alone are
# given to the server, which runs as the user valkey in /data and can be reached from other containers.
set -eu
if [ "${1#-}" != "${1-}" ] || [ "${1%.conf}" != "${1-}" ]; then
    set -- valkey-server "$@"
fi
if [ "$1" != valkey-server ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    chown -R valkey:valkey .
    exec chroot --userspec=valkey:valkey --skip-chdir / "$0" "$@"
fi
# shellcheck disable=SC2086
exec "$@" --protected-mode no ${VALKEY_EXTRA_FLAGS-}
