{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      system = "x86_64-linux";
      overlay = final: prev: {
        app = prev.mkDerivation {
          name = "app";
          buildInputs = [ prev.toolkit ];
          nativeBuildInputs = [ prev.jq ];
          buildCommand = "mkdir -p $out/bin";
          shellHook = "export FROM_APP=1";
        };
      };
      base = nixpkgs.legacyPackages.${system};
      pkgs = base // overlay pkgs base;
    in
    {
      overlays.default = overlay;
      packages.${system}.default = pkgs.app;
      checks.${system}.app = pkgs.app;
      devShells.${system}.default = pkgs.mkShell {
        inputsFrom = [ (pkgs.app // { nativeBuildInputs = [ pkgs.jq ]; buildInputs = [ pkgs.toolkit ]; }) ];
        packages = [ pkgs.hello ];
        shellHook = "export AFTER_APP=$FROM_APP";
      };
    };
}
