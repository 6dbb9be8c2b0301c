{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
    in
    {
      devShells.x86_64-linux.default = pkgs.mkShell {
        shellHook = ''
          unset SOURCE_DATE_EPOCH
          if [ ! -d .venv ]; then mkdir -p .venv/bin; fi
          export VIRTUAL_ENV="$PWD/.venv"
          export PYTHONPATH="$PWD/src:''${PYTHONPATH:-}"
          PATH="$VIRTUAL_ENV/bin:$PATH"
          deactivate() { unset VIRTUAL_ENV; }
          unset PYTHONHOME
        '';
      };
    };
}
