#!/bin/sh
# Does what the documentation of the public `redis` image promises: options or a configuration file alone are
# given to the server, which runs as the user redis in /data and can be reached from other containers.
set -eu
if [ "${1#-}" != "${1-}" ] || [ "${1%.conf}" != "${1-}" ]; then
    set -- redis-server "$@"
fi
if [ "$1" != redis-server ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    chown -R redis:redis .
    exec chroot --userspec=redis:redis --skip-chdir / "$0" "$@"
fi
exec "$@" --protected-mode no
