{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs =
    { self, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
    in
    {
      devShells.x86_64-linux.default = pkgs.mkShell {
        packages = [ pkgs.jq ];
        shellHook = ''
          export APP_ENV="''${APP_ENV:-development}"
          export PATH="$PWD/bin:$PATH"
          export GREETING=$'first\nsecond'
          _log() { printf '[%s] %s\n' "$(basename "$PWD")" "$*"; }
          tests() {
            local where=''${1:-all}
            _log "tests $where"
          }
          alias t=tests
          alias up='_log up'
          targets=(api worker "the web")
          declare -A port_of=([api]=8000 [worker]=8001)
          shopt -s nullglob
        '';
      };
    };
}
