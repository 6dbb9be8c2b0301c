{ pkgs ? import <nixpkgs> { } }:
let
  version = import ./nix/version.nix;
in
pkgs.mkShell {
  name = "legacy-shell";
  buildInputs = [ pkgs.hello ];
  VERSION = version;
  shellHook = ''
    export GREETING="hello from shell.nix"
  '';
}
