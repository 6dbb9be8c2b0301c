# Stands in for nixpkgs: its packages are links to programs of this machine. What real shells rely on behaves as it does
# there: mkShell, the three kinds of inputs, and a shellHook that runs last.
{
  outputs =
    { self }:
    let
      genAttrs =
        names: value:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = value name;
          }) names
        );
      packagesFor =
        system:
        let
          links =
            name: programs:
            derivation {
              inherit name system;
              builder = "/bin/sh";
              args = [ ./links.sh ];
              programs = toString programs;
            };
          stdenv = derivation {
            name = "stdenv";
            inherit system;
            builder = "/bin/sh";
            args = [ ./stdenv.sh ];
            setup = ./setup.sh;
          };
        in
        {
          stdenv = {
            isDarwin = false;
            isLinux = true;
          };
          mkShell =
            {
              name ? "shell",
              packages ? [ ],
              nativeBuildInputs ? [ ],
              buildInputs ? [ ],
              ...
            }@arguments:
            derivation (
              removeAttrs arguments [ "packages" ]
              // {
                inherit
                  name
                  system
                  stdenv
                  buildInputs
                  ;
                nativeBuildInputs = nativeBuildInputs ++ packages;
                builder = "/bin/bash";
                args = [
                  "-c"
                  "echo >$out"
                ];
              }
            );
        }
        // builtins.mapAttrs links {
          cacert = [ ];
          clang = [ ];
          coreutils = [
            "cat"
            "cp"
            "ls"
            "mkdir"
            "rm"
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
        };
    in
    {
      lib = { inherit genAttrs; };
      legacyPackages = genAttrs [
        "aarch64-darwin"
        "aarch64-linux"
        "x86_64-darwin"
        "x86_64-linux"
      ] packagesFor;
    };
}
