{
  description = "A project with a shell for each task";
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
      common = [ pkgs.jq ];
    in
    {
      devShells.x86_64-linux = {
        default = pkgs.mkShell { packages = common ++ [ pkgs.hello ]; };
        ci = pkgs.mkShellNoCC {
          packages = common;
          CI = "1";
        };
        docs = pkgs.mkShell {
          name = "docs-shell";
          packages = [ pkgs.toolkit ];
          shellHook = ''
            export DOCS_ROOT="$PWD/docs"
          '';
        };
      };
    };
}
