{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
      settings = builtins.fromJSON (builtins.readFile ./settings.json);
    in
    {
      devShells.x86_64-linux.default = pkgs.mkShell ({
        shellHook = ''
          if [ -f .env ]; then set -a; source .env; set +a; fi
          source ${./hook.sh} one two
        '';
      } // settings.variables);
    };
}
