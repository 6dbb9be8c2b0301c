# Packages that are links to the programs of these names on the host, or empty where it lacks them: name to programs.
{ mkDerivation }:
builtins.mapAttrs
  (
    name: programs:
    mkDerivation {
      inherit name;
      buildCommand = ''
        mkdir -p $out/bin
        for program in ${toString programs}; do
          ! found=$(PATH=/usr/local/bin:/usr/bin:/bin command -v $program) || ln -s $found $out/bin/
        done
      '';
    }
  )
  {
    cacert = [ ];
    clang = [ ];
    coreutils = [
      "cat"
      "ls"
    ];
    curl = [ "curl" ];
    gcc = [
      "cc"
      "gcc"
    ];
    gnumake = [ "make" ];
    gnused = [ "sed" ];
    gum = [ ];
    libyaml = [ ];
    pkg-config = [ "pkg-config" ];
    postgresql = [
      "pg_isready"
      "psql"
    ];
    ruby = [
      "bundle"
      "gem"
      "irb"
      "rake"
      "ruby"
    ];
    tzdata = [ ];
  }
