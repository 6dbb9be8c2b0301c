{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-22.05";
  outputs =
    { self, nixpkgs }:
    {
      devShell.x86_64-linux = nixpkgs.legacyPackages.x86_64-linux.mkShell { OLD = "yes"; };
    };
}
