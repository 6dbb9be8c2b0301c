{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
    in
    {
      devShells.x86_64-linux.default = pkgs.mkShell {
        passAsFile = [ ];
        meta = "unused";
        shellHook = ''
          set -euo pipefail
          for each in a b; do export "LETTER_$each=$each"; done
          false || true
          [ -n "''${NEVER_SET:-}" ] && export NEVER=1
          set +euo pipefail
        '';
      };
    };
}
