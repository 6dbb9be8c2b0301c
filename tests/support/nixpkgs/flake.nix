# A small stand-in for nixpkgs: `mkShell`, `buildInputs` and `shellHook` behave as the real ones, and its packages are
# made of programs of the host. Nothing of it is built by anything but bash.
{
  outputs =
    { self }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
    in
    {
      lib = import ./lib.nix;
      legacyPackages = builtins.listToAttrs (
        map (system: {
          name = system;
          value = import ./. { inherit system; };
        }) systems
      );
    };
}
