{
  system ? builtins.currentSystem,
  bash ? "/bin/bash",
}:
let
  lib = import ./lib.nix;

  # As the real one does, it gives a derivation every attribute as a variable, and lets $stdenv/setup do the rest.
  mkDerivation =
    attrs:
    derivation (
      {
        inherit system stdenv;
        outputs = [ "out" ];
        builder = bash;
        args = [
          "-e"
          ./stdenv/builder
        ];
        buildInputs = [ ];
        nativeBuildInputs = [ ];
        propagatedBuildInputs = [ ];
      }
      // attrs
    );

  stdenv = derivation {
    name = "stdenv-linux";
    inherit system;
    builder = bash;
    args = [
      "-c"
      # A bash, and no `cp`, has to be the last process: Nix kills one that closes its output before it ends.
      "/bin/mkdir $out; /bin/cp ${./stdenv/setup} $out/setup; :"
    ];
  };

  # A package with programs: names to scripts.
  program =
    name: programs: more:
    mkDerivation (
      {
        inherit name;
        buildCommand =
          ''
            mkdir -p $out/bin $out/share/${name} $out/lib/pkgconfig $out/include
            echo "int ${builtins.replaceStrings [ "-" ] [ "_" ] name};" > $out/include/${name}.h
          ''
          + lib.concatStringsSep "\n" (
            map (each: ''
              printf '%s\n' ${toString (map (line: "'${line}'") ([ "#!${bash}" ] ++ programs.${each}))} > $out/bin/${each}
              chmod +x $out/bin/${each}
            '') (builtins.attrNames programs)
          );
      }
      // more
    );
in
import ./of_host.nix { inherit mkDerivation; }
// rec {
  inherit lib mkDerivation;
  stdenv = {
    inherit mkDerivation;
    isDarwin = false;
  };

  hello = program "hello" { hello = [ "echo Hello, world!" ]; } { };
  jq = program "jq" { jq = [ "echo a stand-in for jq" ]; } { };
  # One that brings another, and that has a setup hook, as compilers and interpreters do.
  toolkit = program "toolkit" { toolkit = [ "echo toolkit" ]; } {
    propagatedBuildInputs = [ jq ];
    setupHook = ./stdenv/toolkit-hook;
  };
  git-info = program "git-info" { git-info = [ "echo info" ]; } { };

  mkShell =
    {
      name ? "nix-shell",
      packages ? [ ],
      inputsFrom ? [ ],
      buildInputs ? [ ],
      nativeBuildInputs ? [ ],
      shellHook ? "",
      ...
    }@attrs:
    let
      from = attribute: builtins.concatLists (map (each: each.${attribute} or [ ]) inputsFrom);
      hooks = map (each: each.shellHook or "") (lib.reverseList inputsFrom) ++ [ shellHook ];
    in
    mkDerivation (
      lib.remove [ "packages" "inputsFrom" ] attrs
      // {
        inherit name;
        buildInputs = from "buildInputs" ++ buildInputs;
        nativeBuildInputs = packages ++ from "nativeBuildInputs" ++ nativeBuildInputs;
        shellHook = lib.concatStringsSep "\n" (builtins.filter (hook: hook != "") hooks);
        phases = [ "buildPhase" ];
        preferLocalBuild = true;
        buildCommand = "export > $out";
      }
    );
  mkShellNoCC = mkShell;
}
