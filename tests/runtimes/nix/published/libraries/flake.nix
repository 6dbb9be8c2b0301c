{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
      libraries = with pkgs; [
        jq
        toolkit
      ];
    in
    {
      devShells.x86_64-linux.default = pkgs.mkShell {
        buildInputs = libraries;
        LD_LIBRARY_PATH = builtins.concatStringsSep ":" (map (each: "${each}/lib") libraries);
        RUST_SRC_PATH = "${pkgs.toolkit}/share";
        CPATH = "${pkgs.jq}/include";
        EMPTY = "";
        QUOTED = ''a "b" 'c' $d `e` \f'';
        NUMBER = 3;
        TRUTH = true;
        LIST = [
          "a"
          "b"
        ];
      };
    };
}
