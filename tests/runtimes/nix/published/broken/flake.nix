{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
    in
    {
      devShells.x86_64-linux = {
        default = pkgs.mkShell { packages = [ pkgs.postgresqql ]; };
        thrown = throw "this project needs an older compiler";
        build = pkgs.mkShell {
          packages = [
            (pkgs.mkDerivation {
              name = "fails";
              buildCommand = "echo it does not compile >&2; exit 1";
            })
          ];
        };
      };
    };
}
