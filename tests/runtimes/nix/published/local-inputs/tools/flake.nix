{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    {
      version = "1";
      packages.x86_64-linux.default = nixpkgs.legacyPackages.x86_64-linux.jq;
    };
}
