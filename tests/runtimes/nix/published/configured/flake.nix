{
  nixConfig = {
    extra-substituters = [ "https://cache.example" ];
    extra-trusted-public-keys = [ "cache.example-1:AAAA" ];
  };
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    {
      devShells.x86_64-linux.default = nixpkgs.legacyPackages.x86_64-linux.mkShell { CONFIGURED = "1"; };
    };
}
