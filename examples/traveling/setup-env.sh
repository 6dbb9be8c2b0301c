# shellcheck shell=bash
# What Guix has no words for: variables, aliases, a function and a banner. Sourced by bash inside `guix shell`.

# Defaults that the caller may override: `PSQL_HOST=10.0.1.5 guix shell -m manifest.scm`.
export PSQL_HOST="${PSQL_HOST:-localhost}"
export PSQL_PORT="${PSQL_PORT:-5432}"
export PSQL_USER="${PSQL_USER:-postgres}"
export PSQL_PASSWORD="${PSQL_PASSWORD:-postgres}"
export PSQL_DATABASE="${PSQL_DATABASE:-traveling_rails_poc_development}"
export DATABASE_URL="${DATABASE_URL:-postgres://$PSQL_USER:$PSQL_PASSWORD@$PSQL_HOST:$PSQL_PORT/$PSQL_DATABASE}"
export PGHOST="$PSQL_HOST" PGPORT="$PSQL_PORT" PGUSER="$PSQL_USER" PGPASSWORD="$PSQL_PASSWORD" # for psql

TRAVELING_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export TRAVELING_ROOT
export BUNDLE_PATH="$TRAVELING_ROOT/vendor/bundle"
export BUNDLE_BIN="$BUNDLE_PATH/bin"
export GEM_HOME="$TRAVELING_ROOT/vendor/gems"
export PATH="$TRAVELING_ROOT/bin:$BUNDLE_BIN:$GEM_HOME/bin:$PATH"

# shellcheck source=/dev/null
source "$TRAVELING_ROOT/scripts/aliases.sh"
if [ -t 2 ]; then "$TRAVELING_ROOT/scripts/banner" >&2; fi
