#!/bin/bash
# Does what the documentation of the public `postgres` image promises: makes the data directory from POSTGRES_*, runs
# /docker-entrypoint-initdb.d once, and runs the server as the user postgres.
set -eu

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Sets a variable from the file that NAME_FILE names, or to a default.
setting() {
    local file="$1_FILE"
    if [ -n "${!file-}" ]; then
        [ -z "${!1-}" ] || fail "error: both $1 and $file are set (but are exclusive)"
        export "$1=$(cat "${!file}")"
        unset "$file"
    else
        export "$1=${!1-$2}"
    fi
}

make_data_directory() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        fail "Error: Database is uninitialized and superuser password is not specified." \
            "       Set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust to allow all connections without one."
    fi
    local arguments
    eval "arguments=($POSTGRES_INITDB_ARGS)"
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-local=trust \
        ${POSTGRES_INITDB_WALDIR:+--waldir="$POSTGRES_INITDB_WALDIR"} "${arguments[@]}"
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
}

run_sql() {
    psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" "$@"
}

run_init_scripts() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh)
                echo "$0: running $file"
                if [ -x "$file" ]; then
                    "$file"
                else
                    # shellcheck source=/dev/null
                    . "$file"
                fi
                ;;
            *.sql) echo "$0: running $file" && run_sql --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) echo "$0: running $file" && gunzip -c "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            */\*) ;;
            *) echo "$0: ignoring $file" ;;
        esac
    done
}

if [ "${1-}" != "${1#-}" ]; then
    set -- postgres "$@"
fi
if [ "${1-}" != postgres ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}
    chown -R postgres:postgres "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}
    chmod 700 "$PGDATA"
    exec chroot --userspec=postgres:postgres --skip-chdir / "$0" "$@"
fi
setting POSTGRES_USER postgres
setting POSTGRES_PASSWORD ""
setting POSTGRES_DB "$POSTGRES_USER"
setting POSTGRES_INITDB_ARGS ""
export POSTGRES_HOST_AUTH_METHOD="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    ls /docker-entrypoint-initdb.d >/dev/null # scripts that cannot be read are not passed over
    make_data_directory
    # Until everything is there, the server listens on its socket alone: nobody else sees it half-made.
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    if [ "$POSTGRES_DB" != postgres ]; then
        run_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    run_init_scripts
    pg_ctl -D "$PGDATA" -m fast -w stop
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
fi
unset POSTGRES_PASSWORD
exec "$@"
