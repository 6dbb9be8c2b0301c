{
  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";
    systems.url = "path:./systems";
    systems.flake = false;
  };
  outputs =
    {
      self,
      nixpkgs,
      systems,
    }:
    let
      # What the usual library of such loops does: per system first, then turned round.
      eachSystem =
        names: f:
        builtins.foldl' (
          merged: system:
          builtins.foldl' (
            all: attribute:
            all
            // {
              ${attribute} = (all.${attribute} or { }) // {
                ${system} = (f system).${attribute};
              };
            }
          ) merged (builtins.attrNames (f system))
        ) { } names;
    in
    eachSystem (import systems) (
      system:
      let
        pkgs = nixpkgs.legacyPackages.${system};
      in
      {
        packages.default = pkgs.hello;
        devShells.default = pkgs.mkShell {
          inputsFrom = [ ];
          buildInputs = with pkgs; [
            hello
            jq
          ];
          SYSTEM = system;
        };
      }
    );
}
