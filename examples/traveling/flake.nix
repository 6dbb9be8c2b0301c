# The runtime on the host, the database in a container: `esker activate --runtime nix`, or `nix develop`.
{
  description = "A Rails API on PostgreSQL";

  inputs.nixpkgs.url = "github:flox/nixpkgs/b40629efe5d6ec48dd1efba650c797ddbd39ace0";

  outputs =
    { nixpkgs, ... }:
    let
      systems = [
        "aarch64-darwin"
        "aarch64-linux"
        "x86_64-darwin"
        "x86_64-linux"
      ];
      shell =
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
        in
        pkgs.mkShell {
          # what builds gems that are written in C
          nativeBuildInputs = [
            pkgs.pkg-config
            pkgs.gnumake
            (if pkgs.stdenv.isDarwin then pkgs.clang else pkgs.gcc)
          ];

          # libraries for them; psql comes with PostgreSQL's
          buildInputs = [
            pkgs.libyaml
            pkgs.postgresql
          ];

          # the language, what runs in production too, and tools for people
          packages = [
            pkgs.ruby
            pkgs.cacert
            pkgs.tzdata
            pkgs.gum
            pkgs.curl
            pkgs.coreutils
            pkgs.gnused
          ];

          # Defaults that the caller may override: `PSQL_HOST=10.0.1.5 nix develop`.
          shellHook = ''
            export PSQL_HOST="''${PSQL_HOST:-localhost}"
            export PSQL_PORT="''${PSQL_PORT:-5432}"
            export PSQL_USER="''${PSQL_USER:-postgres}"
            export PSQL_PASSWORD="''${PSQL_PASSWORD:-postgres}"
            export PSQL_DATABASE="''${PSQL_DATABASE:-traveling_rails_poc_development}"
            export DATABASE_URL="''${DATABASE_URL:-postgres://$PSQL_USER:$PSQL_PASSWORD@$PSQL_HOST:$PSQL_PORT/$PSQL_DATABASE}"
            export PGHOST="$PSQL_HOST" PGPORT="$PSQL_PORT" PGUSER="$PSQL_USER" PGPASSWORD="$PSQL_PASSWORD" # for psql

            export TRAVELING_ROOT="$PWD"
            export BUNDLE_PATH="$TRAVELING_ROOT/vendor/bundle"
            export BUNDLE_BIN="$BUNDLE_PATH/bin"
            export GEM_HOME="$TRAVELING_ROOT/vendor/gems"
            export PATH="$TRAVELING_ROOT/bin:$BUNDLE_BIN:$GEM_HOME/bin:$PATH"

            source "$TRAVELING_ROOT/scripts/aliases.sh"
            if [ -t 2 ]; then "$TRAVELING_ROOT/scripts/banner" >&2; fi
          '';
        };
    in
    {
      devShells = nixpkgs.lib.genAttrs systems (system: { default = shell system; });
    };
}
