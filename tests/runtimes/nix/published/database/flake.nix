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
          export PGDATA="$PWD/.pg" PGHOST="$PWD/.pg"
          export DATABASE_URL="postgresql:///app?host=$PGHOST"
          mkdir -p "$PGDATA"
          echo started >> "$PGDATA/log"
          stop_database() { echo stopped >> "$PGDATA/log"; }
          trap stop_database EXIT
        '';
      };
    };
}
